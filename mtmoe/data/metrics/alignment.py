"""What every metric checks before it counts: one prediction for each target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mtmoe.errors import CorpusError


def check_aligned(targets: Sequence[Any], predictions: Sequence[Any]) -> None:
    """Checks that there is something to score, and a prediction for each target.

    Raises:
      CorpusError: there are no examples; no score is a true one then.
      ValueError: the numbers of targets and predictions differ.
    """
    if len(targets) != len(predictions):
        raise ValueError(
            f"{len(targets)} targets but {len(predictions)} predictions to score"
        )
    if len(targets) == 0:
        raise CorpusError("no examples to score")


def references_of(target: str | Sequence[str]) -> list[str]:
    """Returns the references of one example, whether it gives one or a list.

    Raises:
      CorpusError: the list is empty.
    """
    references = [target] if isinstance(target, str) else list(target)
    if not references:
        raise CorpusError("an example has no reference to score against")
    return references
