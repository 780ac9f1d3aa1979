"""Labelled spans written as text: `PER: Ada Lovelace $$ LOC: London`.

The form of mT5's named entity recognition (Xue et al. 2021); any label and any text
but the delimiter can be written so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from mtmoe.data.metrics.alignment import check_aligned

DELIMITER = " $$ "
NO_SPANS = "none"
"""What stands for a text without spans: targets are never empty."""

Span = tuple[str, str]


def format_spans(spans: Iterable[Span]) -> str:
    """Returns (label, text) pairs as one text, `NO_SPANS` if there are none."""
    return DELIMITER.join(f"{label}: {text}" for label, text in spans) or NO_SPANS


def parse_spans(text: str) -> list[Span]:
    """Returns the (label, text) pairs of a text, in order.

    A part without a colon is no span. The label ends at the first colon, so that
    "ORG: Ministry: North" has the text "Ministry: North".
    """
    parts = (part.partition(":") for part in text.split(DELIMITER.strip()))
    return [
        (label.strip(), " ".join(rest.split())) for label, colon, rest in parts if colon
    ]


def span_f1(targets: Sequence[str], predictions: Sequence[str]) -> dict[str, float]:
    """Returns `span_f1`: F1 of spans over all examples, label and text both right.

    As `multilingual_t5.evaluation.metrics.span_f1`, which counts as CoNLL's script
    does, a span as often as it is there; on the scale 0 to 100, not 0 to 1, and without
    its silence about texts that hold a colon. Perfect where there is no span to find
    and none is given.
    """
    return {"span_f1": _f1(targets, predictions, parse_spans)}


def slot_f1(targets: Sequence[str], predictions: Sequence[str]) -> dict[str, float]:
    """Returns `slot_f1`: F1 of slots and their values, whose case does not matter.

    `slot: value $$ slot: value`, compared like `span_f1` (DialoGLUE's slot filling,
    Mehri et al. 2020).
    """
    return {
        "slot_f1": _f1(targets, predictions, lambda text: parse_spans(text.lower()))
    }


def _f1(
    targets: Sequence[str],
    predictions: Sequence[str],
    parse: Callable[[str], list[Span]],
) -> float:
    check_aligned(targets, predictions)
    hits = spans = 0
    for target, prediction in zip(targets, predictions, strict=True):
        expected, found = Counter(parse(target)), Counter(parse(prediction))
        hits += (expected & found).total()
        spans += expected.total() + found.total()
    return 200.0 * hits / spans if spans else 100.0
