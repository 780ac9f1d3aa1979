"""Weights that are numbers: none infinite, none not a number."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mtmoe.errors import CheckpointError

_SHOWN = 5


def not_finite(values: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Returns, by name, what is wrong with arrays whose elements are not all numbers.

    In words: "3 of 128 values are not finite (2 infinite, 1 NaN)". Whole numbers are
    sound.
    """
    problems = {}
    for name, value in values.items():
        if value.dtype.kind in "iub" or np.isfinite(value).all():
            continue
        infinite, nan = np.isinf(value).sum(), np.isnan(value).sum()
        counts = [f"{infinite} infinite"] * bool(infinite) + [f"{nan} NaN"] * bool(nan)
        problems[name] = (
            f"{infinite + nan} of {value.size} values are not finite "
            f"({', '.join(counts)})"
        )
    return problems


def check_finite(values: Mapping[str, np.ndarray], where: str) -> None:
    """Checks weights that come in from outside, `where` being a file or checkpoint.

    Raises:
      CheckpointError: an array has an element that is infinite or not a number; the
        message names it and says how many.
    """
    problems = not_finite(values)
    if not problems:
        return
    shown = [f"tensor {name}: {text}" for name, text in problems.items()][:_SHOWN]
    more = len(problems) - len(shown)
    raise CheckpointError(
        f"{where}: "
        + "\n  ".join(shown)
        + (f"\n  and {more} more tensors" if more else "")
        + "\nThese weights were lost where they were written, by an overflow of half "
        "precision for one; every result of them would be NaN."
    )
