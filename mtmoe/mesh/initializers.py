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

from mtmoe.mesh.random import numpy_bits

Array = npt.NDArray[np.float32]
Key = tuple[int, int]

# Numbers that are drawn at once: what a core's own cache holds.
_BLOCK = 1 << 17
# Normal(0, 1) lies within two standard deviations with this probability.
_WITHIN_TWO_SIGMA = math.erf(math.sqrt(2.0))
# erfinv(x) is x times a fraction of two polynomials in `_WITHIN_TWO_SIGMA`^2 - x^2,
# with these coefficients, the lowest first, to a relative 7e-8 (4e-7 in float32) where
# |x| is at most `_WITHIN_TWO_SIGMA`. The form is that of the middle part of AS 241
# (Wichura 1988). Made of sums, products and a quotient, it is the same on every host;
# no logarithm is.
_NUMERATOR = (1.48162793, 19.72348231, 66.48280472, 53.13618526, 4.71435454)
_DENOMINATOR = (1.0, 15.18874925, 63.1600614, 73.06460113, 15.53887757)


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
    the place in the whole variable; see `mtmoe.mesh.random`. `stddev` is that of the
    distribution before it is cut, as in Switch Transformer (Fedus et al. 2022, section
    2.4): sqrt(s / fan_in).
    """

    stddev: float

    def part(
        self, shape: Sequence[int], key: Key, begin: Sequence[int], size: Sequence[int]
    ) -> Array:
        """Draws a slice, block by block on all cores."""
        values = np.empty(tuple(size), np.float32)
        if not size:
            values[()] = self._quantile(np.array([numpy_bits(key, [], [])]))[0]
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
        """Maps bits, which it overwrites, to the numbers.

        They are quantiles at the middles of 2^24 equal steps, never at 0 or 1.
        """
        bits >>= np.uint32(8)
        unit = bits.astype(np.float32)
        unit *= np.float32(2.0**-23 * _WITHIN_TWO_SIGMA)
        unit += np.float32((2.0**-24 - 1.0) * _WITHIN_TWO_SIGMA)
        normal = _erfinv(unit)
        normal *= np.float32(math.sqrt(2.0) * self.stddev)
        return normal


def _erfinv(x: Array) -> Array:
    """Returns the inverse error function of numbers within `_WITHIN_TWO_SIGMA`."""
    from_end = x * x
    np.subtract(np.float32(_WITHIN_TWO_SIGMA**2), from_end, out=from_end)
    result = _polynomial(_NUMERATOR, from_end)
    result /= _polynomial(_DENOMINATOR, from_end)
    result *= x
    return result


def _polynomial(coefficients: Sequence[float], x: Array) -> Array:
    """Horner's rule, in place."""
    value: Array = np.float32(coefficients[-1]) * x
    for coefficient in coefficients[-2:0:-1]:
        value += np.float32(coefficient)
        value *= x
    value += np.float32(coefficients[0])
    return value


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


constant, truncated_normal = Constant, TruncatedNormal
zeros: Initializer = constant(0.0)
ones: Initializer = constant(1.0)
