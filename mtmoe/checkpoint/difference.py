"""How far two checkpoints are apart, variable by variable, a part of one at a time."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import numpy as np

from mtmoe.checkpoint.pieces import rows_of
from mtmoe.checkpoint.reader import CheckpointReader

_PART = 1 << 22  # elements


@dataclasses.dataclass(frozen=True)
class Difference:
    """One variable in two checkpoints.

    Attributes:
      name: the variable.
      shape: in both, or in the one that has it.
      dtype: likewise.
      max_abs: largest |b - a|; 0 only where all elements are equal, NaN where one of
        the two is NaN.
      relative_norm: ||b - a|| / ||a||; infinite if a is 0 and b is not.
      note: why it cannot be compared; empty if it was.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    max_abs: float = math.nan
    relative_norm: float = math.nan
    note: str = ""

    @property
    def equal(self) -> bool:
        """Whether all elements are equal."""
        return not self.note and self.max_abs == 0.0


def differences(first: CheckpointReader, second: CheckpointReader) -> list[Difference]:
    """Compares the variables of two checkpoints.

    First come those that cannot be compared, then those with the largest relative norm.

    Raises:
      CheckpointError: what is read of one is damaged.
    """
    found = list(_compared(first, second))
    return sorted(found, key=_order)


def _order(difference: Difference) -> tuple[bool, bool, float, str]:
    size = difference.relative_norm
    return (not difference.note, not math.isnan(size), -size, difference.name)


def _compared(
    first: CheckpointReader, second: CheckpointReader
) -> Iterator[Difference]:
    for name in sorted(first.variables.keys() | second.variables.keys()):
        one, other = first.variables.get(name), second.variables.get(name)
        if one is None or other is None:
            there = one or other
            assert there is not None, "the name is of one of them"
            yield Difference(
                name, *there, note=f"only in {'B' if one is None else 'A'}"
            )
        elif one[0] != other[0]:
            note = f"shape {list(one[0])} in A, {list(other[0])} in B"
            yield Difference(name, *one, note=note)
        else:
            yield _compare(name, first, second)


def _compare(
    name: str, first: CheckpointReader, second: CheckpointReader
) -> Difference:
    shape, dtype = first.variables[name]
    largest, difference, size = 0.0, 0.0, 0.0
    for begin, part in rows_of(shape, _PART):
        a = first.read(name, begin, part)
        b = second.read(name, begin, part)
        if a.dtype == b.dtype and a.tobytes() == b.tobytes():
            size += float(np.sum(np.square(a.astype(np.float64))))
            continue
        a, b = a.astype(np.float64), b.astype(np.float64)
        with np.errstate(invalid="ignore"):
            apart = np.where(a == b, 0.0, b - a)
        largest = float(np.maximum(largest, np.max(np.abs(apart), initial=0.0)))
        difference += float(np.sum(np.square(apart)))
        size += float(np.sum(np.square(a)))
    if difference == 0.0:
        relative = 0.0
    else:
        relative = math.sqrt(difference) / math.sqrt(size) if size else math.inf
    return Difference(name, shape, dtype, largest, relative)
