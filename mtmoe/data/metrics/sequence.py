"""Error rates: how many edits a sequence is away from the right one.

Less is better and 0 is perfect, see `metrics/scale.py`. Edit distances (Levenshtein
1966) are counted by `editdistance`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Hashable, Sequence

import editdistance

from mtmoe.data.metrics.alignment import check_aligned, references_of
from mtmoe.errors import CorpusError

References = str | Sequence[str]


def character_error_rate(
    targets: Sequence[References], predictions: Sequence[str]
) -> dict[str, float]:
    """Returns `character_error_rate`: edits per 100 characters of the targets.

    Characters are code points of composed text (NFC). Of several references to an
    example the nearest counts. Above 100 if predictions are longer than their targets.

    Raises:
      CorpusError: there is nothing in the targets to compare with.
    """
    rate = _error_rate(targets, predictions, _characters)
    return {"character_error_rate": rate}


def phoneme_error_rate(
    targets: Sequence[References], predictions: Sequence[str]
) -> dict[str, float]:
    """Returns `phoneme_error_rate`: edits per 100 phonemes, which spaces separate.

    Otherwise as `character_error_rate`.
    """
    return {"phoneme_error_rate": _error_rate(targets, predictions, str.split)}


def _error_rate(
    targets: Sequence[References],
    predictions: Sequence[str],
    units: Callable[[str], Sequence[Hashable]],
) -> float:
    check_aligned(targets, predictions)
    edits = length = 0
    for target, prediction in zip(targets, predictions, strict=True):
        references = [units(reference) for reference in references_of(target)]
        given = units(prediction)
        # Of equally near references the longest, of which the edits are the least part.
        distance, size = min(
            ((editdistance.eval(right, given), len(right)) for right in references),
            key=lambda pair: (pair[0], -pair[1]),
        )
        edits += distance
        length += size
    if not length:
        raise CorpusError("the targets to score against are all empty")
    return 100.0 * edits / length


def _characters(text: str) -> str:
    return unicodedata.normalize("NFC", text)
