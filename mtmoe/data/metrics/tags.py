"""Tags of words, one after the other: parts of speech written as `DET NOUN VERB`."""

from __future__ import annotations

from collections.abc import Sequence

from mtmoe.data.metrics.alignment import check_aligned


def tag_f1(targets: Sequence[str], predictions: Sequence[str]) -> dict[str, float]:
    """Returns `tag_f1`: F1 of tags over all examples, each right in its own place.

    A text has a tag for each word, with spaces between them. Where a prediction has as
    many tags as its target, that is the share of words tagged right: UPOS accuracy of
    the CoNLL 2018 shared task on given words, and the F1 that XTREME (Hu et al. 2020)
    reports. Tags too few or too many cost recall or precision.
    """
    check_aligned(targets, predictions)
    hits = tags = 0
    for target, prediction in zip(targets, predictions, strict=True):
        expected, found = target.split(), prediction.split()
        hits += sum(a == b for a, b in zip(expected, found, strict=False))
        tags += len(expected) + len(found)
    return {"tag_f1": 200.0 * hits / tags if tags else 100.0}
