"""Variables on a mesh as each process sees them: in slices."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from mtmoe.mesh.context import InitialValue
from mtmoe.mesh.signature import Argument

Array = np.ndarray[Any, np.dtype[Any]]
Read = Callable[[str, Sequence[int], Sequence[int]], Array]
"""Takes a variable's name, the start of a slice and its size; returns the slice."""


@dataclasses.dataclass(frozen=True)
class Variable:
    """A variable's place on the mesh and its first value."""

    argument: Argument
    initial: InitialValue
    trainable: bool

    def draw(self, name: str, begin: Sequence[int], size: Sequence[int]) -> Array:
        """Draws a slice of the first value."""
        shape, key = self.argument.shape, self.initial.key
        return self.initial.initializer.part(shape, key, begin, size)


class Slice(NamedTuple):
    """A processor's values of a variable, which begin at `begin` in each dimension."""

    name: str
    shape: tuple[int, ...]
    begin: tuple[int, ...]
    values: Array


def place(
    index: tuple[slice, ...], argument: Argument
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Returns where JAX's index of a slice begins in the variable, and its size."""
    within = [
        range(*part.indices(size))
        for part, size in zip(index, argument.shape, strict=True)
    ]
    return tuple(r.start for r in within), tuple(map(len, within))


class Parts:
    """Gives JAX the slices of an array, each read once for all devices that hold it."""

    def __init__(self, argument: Argument, read: Read):
        self._argument, self._read = argument, read
        self._known: dict[tuple[tuple[int, ...], tuple[int, ...]], Array] = {}

    def __call__(self, index: tuple[slice, ...]) -> Array:
        """Returns the slice at JAX's index."""
        key = place(index, self._argument)
        if key not in self._known:
            part = self._read(self._argument.name, *key)
            self._known[key] = np.asarray(part, self._argument.dtype)
        return self._known[key]
