"""Stops a run whose numbers are no longer numbers, before they reach a checkpoint."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from mtmoe.checkpoint.finite import not_finite
from mtmoe.errors import MtmoeError


class NonFiniteError(MtmoeError):
    """A loss, a gradient or a variable became infinite or not a number."""


def check_metrics(step: int, metrics: Mapping[str, float], last_good: int) -> None:
    """Checks every metric of one step, counted from 1; `last_good` is the newest saved.

    Raises:
      NonFiniteError: one is not finite.
    """
    bad = {name: value for name, value in metrics.items() if not math.isfinite(value)}
    if bad:
        found = ", ".join(f"{name} is {value}" for name, value in bad.items())
        raise NonFiniteError(f"step {step}: {found}. {_advice(last_good)}")


def check_variable(step: int, last_good: int, name: str, value: np.ndarray) -> None:
    """Checks a variable, or a slice of one, before it is saved.

    Raises:
      NonFiniteError: it has an element that is not finite.
    """
    for problem in not_finite({name: value}).values():
        raise NonFiniteError(
            f"step {step}: variable {name}: {problem}. {_advice(last_good)}"
        )


def _advice(last_good: int) -> str:
    kept = (
        f"The checkpoint of step {last_good} is intact"
        if last_good
        else ("No checkpoint had been written yet")
    )
    return (
        f"{kept}; nothing later was saved. The same command would end the same way: "
        "lower the learning rate or raise the warm-up in a new model folder."
    )
