"""Initial values of an exported program's variables, drawn by NumPy.

A variable's entry in `program.json` has a `kind`:

* `constant`: every element is `value`;
* `truncated_normal`: the quantile of a normal distribution of standard deviation
  `stddev`, cut at two of these, at uniform numbers that a hash makes of `key` (two
  32-bit words) and of the element's coordinates in the whole variable;
* `array`: the file `initial/<number>.npy` holds it.
"""

from __future__ import annotations

import concurrent.futures
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

# Numbers that are drawn at once: what a core's own cache holds.
_BLOCK = 1 << 17
_WITHIN_TWO_SIGMA = math.erf(math.sqrt(2.0))
# As in mtmoe.mesh.initializers.
_NUMERATOR = (1.48162793, 19.72348231, 66.48280472, 53.13618526, 4.71435454)
_DENOMINATOR = (1.0, 15.18874925, 63.1600614, 73.06460113, 15.53887757)


def draw(
    folder: Path,
    entry: Mapping[str, Any],
    begin: Sequence[int],
    size: Sequence[int],
) -> Array:
    """Draws a slice of a variable.

    Args:
      folder: the exported program.
      entry: the variable's entry in `program.json`.
      begin: first place of the slice in each dimension.
      size: shape of the slice.

    Raises:
      ValueError: the entry is of a kind that this version does not know.
    """
    if entry["kind"] == "constant":
        return np.full(tuple(size), entry["value"], np.float32)
    if entry["kind"] == "array":
        whole: Array = np.load(folder / entry["file"], mmap_mode="r")
        place = tuple(slice(b, b + s) for b, s in zip(begin, size, strict=True))
        return np.array(whole[place])
    if entry["kind"] == "truncated_normal":
        return _truncated_normal(entry["stddev"], entry["key"], begin, size)
    raise ValueError(
        f"initial values of the kind {entry['kind']!r}; known are constant, "
        "truncated_normal and array"
    )


def _truncated_normal(
    stddev: float, key: Sequence[int], begin: Sequence[int], size: Sequence[int]
) -> Array:
    values = np.empty(tuple(size), np.float32)
    if not size:
        values[...] = _quantile(_bits(key, [], []), stddev)
        return values
    row = max(1, math.prod(size[1:]))
    step = max(1, _BLOCK // row)

    def fill(first: int) -> None:
        part = values[first : first + step]
        bits = _bits(key, part.shape, [begin[0] + first, *begin[1:]])
        part[...] = _quantile(bits, stddev)

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as threads:
        list(threads.map(fill, range(0, size[0], step)))
    return values


def _quantile(bits: npt.NDArray[np.uint32], stddev: float) -> Array:
    """Maps bits to the numbers; the middles of 2^24 equal steps, never 0 or 1."""
    scale = np.float32(2.0**-23 * _WITHIN_TWO_SIGMA)
    half = np.float32((2.0**-24 - 1.0) * _WITHIN_TWO_SIGMA)
    unit = (bits >> np.uint32(8)).astype(np.float32) * scale + half
    from_end = np.float32(_WITHIN_TWO_SIGMA**2) - unit * unit
    quotient = _polynomial(_NUMERATOR, from_end) / _polynomial(_DENOMINATOR, from_end)
    normal: Array = quotient * unit * np.float32(math.sqrt(2.0) * stddev)
    return normal


def _polynomial(coefficients: Sequence[float], x: Array) -> Array:
    value: Array = np.float32(coefficients[-1]) * x
    for coefficient in coefficients[-2:0:-1]:
        value = (value + np.float32(coefficient)) * x
    total: Array = value + np.float32(coefficients[0])
    return total


def _bits(
    key: Sequence[int], shape: Sequence[int], begin: Sequence[int]
) -> npt.NDArray[np.uint32]:
    """Uniform random bits of a slice: MurmurHash3's finaliser, once a dimension."""
    low, high = (_mix(np.array([word], np.uint32)) for word in key)
    for first, size in zip(begin, shape, strict=True):
        place = np.arange(first, first + size, dtype=np.uint32)
        low = _mix(low[..., np.newaxis] + place * np.uint32(0x9E3779B9))
        high = _mix(high[..., np.newaxis] ^ place * np.uint32(0x85EBCA77))
    return _mix(low + high)[0]


def _mix(x: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    x = (x ^ (x >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return x ^ (x >> np.uint32(16))
