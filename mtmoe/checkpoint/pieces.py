"""Slices of variables: which part of a whole each is, and whether they fill it.

A checkpoint that lost the experts of one process, or wrote some twice, must never load:
`check_cover` is what refuses it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from mtmoe.errors import CheckpointError

_SHOWN = 5

Variables = Mapping[str, tuple[tuple[int, ...], str]]


class ArrayLike(Protocol):
    """What `np.asarray` takes and whose shape and dtype are known before."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Elements of each dimension."""

    @property
    def dtype(self) -> Any:
        """Type of the elements."""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Returns the elements."""


@dataclasses.dataclass(frozen=True)
class Piece:
    """One slice of one variable.

    Attributes:
      name: the variable.
      shape: of the whole variable.
      begin: where the slice begins, an index for each dimension.
      values: the slice; it is asked for its elements when it is written, once.
    """

    name: str
    shape: tuple[int, ...]
    begin: tuple[int, ...]
    values: np.ndarray | ArrayLike

    @classmethod
    def whole(cls, name: str, values: np.ndarray | ArrayLike) -> Piece:
        """Returns a variable in one piece."""
        shape = tuple(values.shape)
        return cls(name, shape, (0,) * len(shape), values)


@dataclasses.dataclass(frozen=True)
class Box:
    """Where a piece lies in its variable: `begin` and `size` for each dimension."""

    begin: tuple[int, ...]
    size: tuple[int, ...]

    @property
    def end(self) -> tuple[int, ...]:
        """The first index behind it, for each dimension."""
        return tuple(b + s for b, s in zip(self.begin, self.size, strict=True))

    @property
    def elements(self) -> int:
        """How many elements it has."""
        return math.prod(self.size)

    def common(self, other: Box) -> Box | None:
        """Returns what lies in both; None if that is nothing."""
        begin = tuple(map(max, self.begin, other.begin))
        end = tuple(map(min, self.end, other.end))
        if any(e <= b for b, e in zip(begin, end, strict=True)):
            return None
        return Box(begin, tuple(e - b for b, e in zip(begin, end, strict=True)))

    def within(self, outer: Box) -> tuple[slice, ...]:
        """Returns the index of this box in an array that holds the outer one."""
        starts = [b - o for b, o in zip(self.begin, outer.begin, strict=True)]
        return tuple(slice(b, b + s) for b, s in zip(starts, self.size, strict=True))

    def __str__(self) -> str:
        """As an index is written: `[0:4, 8:16]`."""
        ranges = zip(self.begin, self.end, strict=True)
        return "[" + ", ".join(f"{b}:{e}" for b, e in ranges) + "]"


def whole(shape: Sequence[int]) -> Box:
    """Returns the box of a whole variable."""
    return Box((0,) * len(shape), tuple(shape))


def check_cover(
    pieces: Iterable[tuple[str, tuple[int, ...], str, Box]], where: str
) -> dict[str, tuple[tuple[int, ...], str]]:
    """Checks that pieces make up whole variables, each element being in just one.

    Args:
      pieces: variable, its whole shape, its dtype and the piece's place in it.
      where: the checkpoint, for the error.

    Returns:
      Shape and dtype of each variable.

    Raises:
      CheckpointError: pieces of one variable disagree on shape or dtype, one lies
        outside, some element is in no piece or in two; the message says which.
    """
    variables: dict[str, tuple[tuple[int, ...], str]] = {}
    boxes: dict[str, list[Box]] = {}
    problems: list[str] = []
    for name, shape, dtype, box in pieces:
        if variables.setdefault(name, (shape, dtype)) != (shape, dtype):
            problems.append(
                f"{name} is {dtype}{list(shape)} in one piece, "
                f"{variables[name][1]}{list(variables[name][0])} in another"
            )
        elif len(box.begin) != len(shape) or any(
            b < 0 or e > n for b, e, n in zip(box.begin, box.end, shape, strict=True)
        ):
            problems.append(f"{name}{box} is outside of its shape {list(shape)}")
        else:
            boxes.setdefault(name, []).append(box)
    for name, (shape, _) in variables.items():
        if problem := _cover_problem(shape, boxes.get(name, [])):
            problems.append(f"{name}{problem}")
    if problems:
        more = len(problems) - _SHOWN
        raise CheckpointError(
            f"{where}: the pieces do not make up the variables:\n  "
            + "\n  ".join(problems[:_SHOWN])
            + (f"\n  and {more} more" if more > 0 else "")
        )
    return variables


def check_variables(found: Variables, expected: Variables, where: str) -> None:
    """Checks that the variables there are those that the inventory lists.

    Raises:
      CheckpointError: one is missing, unknown, or of another shape or dtype.
    """
    differing = sorted(
        name
        for name in found.keys() | expected.keys()
        if found.get(name) != expected.get(name)
    )
    if differing:
        name = differing[0]
        raise CheckpointError(
            f"{where}: {len(differing)} variables are not as the manifest lists them: "
            f"{name} is {found.get(name, 'missing')}, listed "
            f"{expected.get(name, 'nowhere')}"
        )


def _cover_problem(shape: tuple[int, ...], boxes: Sequence[Box]) -> str:
    """Returns the first hole or overlap; an empty text where there is none."""
    if len(boxes) == 1 and boxes[0] == whole(shape):
        return ""
    cuts = [
        sorted({0, size, *(b.begin[d] for b in boxes), *(b.end[d] for b in boxes)})
        for d, size in enumerate(shape)
    ]
    # One cell for each interval between cuts: it is in all of a box or in none of it.
    counts = np.zeros([len(cut) - 1 for cut in cuts], np.int32)
    for box in boxes:
        first = [cut.index(b) for cut, b in zip(cuts, box.begin, strict=True)]
        last = [cut.index(e) for cut, e in zip(cuts, box.end, strict=True)]
        counts[tuple(slice(f, n) for f, n in zip(first, last, strict=True))] += 1
    wrong = np.argwhere(counts != 1)
    if not len(wrong):
        return ""
    cell = tuple(int(index) for index in wrong[0])
    begin = tuple(cut[i] for cut, i in zip(cuts, cell, strict=True))
    end = tuple(cut[i + 1] for cut, i in zip(cuts, cell, strict=True))
    box = Box(begin, tuple(e - b for b, e in zip(begin, end, strict=True)))
    times = int(counts[cell])
    return f"{box} is in " + ("no piece" if not times else f"{times} pieces")


def rows_of(
    shape: tuple[int, ...], elements: int
) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Cuts a variable into whole rows, of at most so many elements or one row each.

    Yields:
      `begin` and `size` of each part.
    """
    if not shape:
        yield (), ()
        return
    rows = max(1, elements // max(1, math.prod(shape[1:])))
    rest = (0,) * (len(shape) - 1)
    for start in range(0, shape[0], rows):
        yield (start, *rest), (min(rows, shape[0] - start), *shape[1:])
