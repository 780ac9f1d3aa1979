"""Initial values: pure functions of (seed, variable name), equal on every host.

An initializer draws any slice of a variable by itself, so that no process has to hold
the whole of one that is split over many.
"""

from __future__ import annotations

import abc
import concurrent.futures
import dataclasses
import math
import os
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import scipy.special

from mtmoe.mesh.random import numpy_bits

Array = npt.NDArray[np.float32]
Key = tuple[int, int]

# Numbers that are drawn at once: what a core's own cache holds.
_BLOCK = 1 << 16
# Normal(0, 1) lies within two standard deviations with this probability.
_WITHIN_TWO_SIGMA = math.erf(math.sqrt(2.0))


class Initializer(abc.ABC):
    """Draws the initial value of a variable, whole or in part."""

    @abc.abstractmethod
    def part(
        self, shape: Sequence[int], key: Key, begin: Sequence[int], size: Sequence[int]
    ) -> Array:
        """Draws a slice.

        Args:
          shape: shape of the whole variable.
          key: two 32-bit words, from `mtmoe.mesh.random.name_key`.
          begin: first place of the slice in each dimension.
          size: shape of the slice.

        Returns:
          float32 of shape `size`; the same numbers as there in the whole variable.
        """

    def __call__(self, shape: Sequence[int], key: Key) -> Array:
        """Draws the whole variable."""
        return self.part(shape, key, [0] * len(shape), shape)


class WholeInitializer(Initializer):
    """An initializer of variables that can only be drawn as a whole."""

    @abc.abstractmethod
    def whole(self, shape: Sequence[int], key: Key) -> Array:
        """Draws the whole variable."""

    def part(
        self, shape: Sequence[int], key: Key, begin: Sequence[int], size: Sequence[int]
    ) -> Array:
        """Cuts a slice out of the whole."""
        slices = tuple(slice(b, b + s) for b, s in zip(begin, size, strict=True))
        return self.whole(shape, key)[slices]


@dataclasses.dataclass(frozen=True)
class Constant(Initializer):
    """Every element is `value`."""

    value: float

    def part(
        self, shape: Sequence[int], key: Key, begin: Sequence[int], size: Sequence[int]
    ) -> Array:
        """Fills a slice."""
        return np.full(tuple(size), self.value, np.float32)


@dataclasses.dataclass(frozen=True)
class TruncatedNormal(Initializer):
    """A normal distribution cut at two standard deviations.

    A number is the distribution's quantile at a uniform one, which hangs on the key and
    the place in the whole variable; see `mtmoe.mesh.random`.

    Attributes:
      stddev: the parameter sigma of the distribution before it is cut, as in Switch
        Transformer (Fedus et al. 2022, section 2.4): sigma = sqrt(s / fan_in).
    """

    stddev: float

    def part(
        self, shape: Sequence[int], key: Key, begin: Sequence[int], size: Sequence[int]
    ) -> Array:
        """Draws a slice, block by block on all cores."""
        values = np.empty(tuple(size), np.float32)
        if not size:
            values[()] = self._quantile(numpy_bits(key, [], []))
            return values

        def draw(block: tuple[slice, ...]) -> None:
            part = values[block]
            first = [edge.start + b for edge, b in zip(block, begin, strict=True)]
            part[:] = self._quantile(numpy_bits(key, part.shape, first))

        blocks = list(_blocks(size))
        if len(blocks) == 1:
            draw(blocks[0])
            return values
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as threads:
            list(threads.map(draw, blocks))
        return values

    def _quantile(self, bits: npt.NDArray[np.uint32]) -> Array:
        """Maps bits to the numbers; the middles of 2^24 equal steps, never 0 or 1."""
        scale = np.float32(2.0**-23 * _WITHIN_TWO_SIGMA)
        half = np.float32((2.0**-24 - 1.0) * _WITHIN_TWO_SIGMA)
        unit = (bits >> np.uint32(8)).astype(np.float32) * scale + half
        normal: Array = scipy.special.erfinv(unit)
        normal *= np.float32(math.sqrt(2.0) * self.stddev)
        return normal


def _blocks(size: Sequence[int]) -> Iterator[tuple[slice, ...]]:
    """Cuts an array into pieces of at most `_BLOCK` numbers, however wide its rows."""
    axis, inner = 0, math.prod(size[1:])
    while inner > _BLOCK:
        axis += 1
        inner //= size[axis]
    step = max(1, _BLOCK // max(1, inner))
    for leading in np.ndindex(*size[:axis]):
        for first in range(0, size[axis], step):
            yield (
                *(slice(i, i + 1) for i in leading),
                slice(first, min(first + step, size[axis])),
                *(slice(0, n) for n in size[axis + 1 :]),
            )


def constant(value: float) -> Initializer:
    """Every element is `value`."""
    return Constant(value)


zeros: Initializer = constant(0.0)
ones: Initializer = constant(1.0)


def truncated_normal(stddev: float) -> Initializer:
    """A normal distribution cut at two standard deviations; see `TruncatedNormal`."""
    return TruncatedNormal(stddev)
