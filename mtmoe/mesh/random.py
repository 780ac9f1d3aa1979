"""Random numbers that depend on nothing but (seed, step, name, position).

Mesh TensorFlow seeds its random operations from Python's `random` and `hash`, so that
two processes, or two layouts, draw different numbers. Here every element of a random
tensor is a hash of a key and of the element's coordinates in the *global* tensor. Each
processor computes just its own slice, without communication, and any layout gives the
same tensor. The hash is the finaliser of MurmurHash3 (Appleby 2011), applied once per
dimension to a 64-bit state.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.operation import laid_out_tensor, split_axes

_GOLDEN = 0x9E3779B9  # 2**32 / golden ratio: spreads consecutive integers
_ODD = 0x85EBCA77


def name_key(seed: int, name: str) -> tuple[int, int]:
    """Returns two 32-bit words that depend on `seed` and `name` alone.

    Python's own `hash` is salted per process (PYTHONHASHSEED); SHA-256 is not.
    """
    digest = hashlib.sha256(f"{seed}\0{name}".encode()).digest()
    return int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:8], "little")


def _word(value: int) -> tf.Tensor:
    return tf.constant(value & 0xFFFFFFFF, tf.uint32)


def _mix(x: tf.Tensor) -> tf.Tensor:
    """MurmurHash3's 32-bit finaliser: every output bit depends on every input bit."""
    shift = tf.bitwise.right_shift
    x = tf.bitwise.bitwise_xor(x, shift(x, _word(16))) * _word(0x85EBCA6B)
    x = tf.bitwise.bitwise_xor(x, shift(x, _word(13))) * _word(0xC2B2AE35)
    return tf.bitwise.bitwise_xor(x, shift(x, _word(16)))


def slice_bits(
    key: tuple[int, int],
    step: tf.Tensor,
    slice_shape: Sequence[int],
    begin: Sequence[tf.Tensor | int],
) -> tf.Tensor:
    """Returns uniform random bits for one slice of a global tensor.

    Args:
      key: two 32-bit words, from `name_key`.
      step: int32 scalar, folded into the key; or int32 of any shape, whose dimensions
        come first in what is returned.
      slice_shape: shape of the slice.
      begin: for each dimension, the slice's first coordinate in the global tensor.

    Returns:
      uint32 `tf.Tensor` of shape `slice_shape`, behind the dimensions of `step`.
    """
    step = tf.cast(step, tf.uint32)
    first = tf.stack(begin) if begin else tf.zeros([0], tf.int32)
    bits = _bits_of_shape(tuple(step.shape), tuple(slice_shape))
    return bits(tf.constant(key, tf.uint32), step, first)


def numpy_bits(
    key: tuple[int, int], slice_shape: Sequence[int], begin: Sequence[int]
) -> npt.NDArray[np.uint32]:
    """Returns `slice_bits` of step 0, computed by NumPy."""
    low, high = (_numpy_mix(np.array([word], np.uint32)) for word in key)
    for first, size in zip(begin, slice_shape, strict=True):
        coordinate = np.arange(first, first + size, dtype=np.uint32)
        low = _numpy_mix(low[..., np.newaxis] + coordinate * np.uint32(_GOLDEN))
        high = _numpy_mix(high[..., np.newaxis] ^ coordinate * np.uint32(_ODD))
    low += high
    return _numpy_mix(low)[0]


def _numpy_mix(x: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """As `_mix`, in place."""
    shifted = x >> np.uint32(16)
    x ^= shifted
    x *= np.uint32(0x85EBCA6B)
    np.right_shift(x, np.uint32(13), out=shifted)
    x ^= shifted
    x *= np.uint32(0xC2B2AE35)
    np.right_shift(x, np.uint32(16), out=shifted)
    x ^= shifted
    return x


@functools.cache
def _bits_of_shape(
    steps: tuple[int, ...], sizes: tuple[int, ...]
) -> Callable[..., tf.Tensor]:
    """Returns `slice_bits` for steps and slices of one shape.

    Traced once: written out at every draw, it would be half of a step's graph.
    """

    def bits(key: tf.Tensor, step: tf.Tensor, begin: tf.Tensor) -> tf.Tensor:
        # The state is two words: with one, any two places whose states collide in some
        # dimension would be equal in all that follow. One takes coordinates in by
        # addition, the other by exclusive or, so that what collides in one hardly does
        # in the other. A dimension at a time: [...] -> [..., size].
        low = _mix(key[0] + step * _word(_GOLDEN))
        high = _mix(tf.bitwise.bitwise_xor(key[1], step * _word(_ODD)))
        for axis, size in enumerate(sizes):
            coordinate = tf.cast(tf.range(size) + begin[axis], tf.uint32)
            low = _mix(low[..., tf.newaxis] + coordinate * _word(_GOLDEN))
            high = _mix(
                tf.bitwise.bitwise_xor(high[..., tf.newaxis], coordinate * _word(_ODD))
            )
        return _mix(low + high)

    with tf.init_scope(), tf.device(None):  # of no graph and no device
        return tf.function(bits, autograph=False).get_concrete_function(
            tf.TensorSpec([2], tf.uint32),
            tf.TensorSpec(steps, tf.uint32),
            tf.TensorSpec([len(sizes)], tf.int32),
        )


def uniform_from_bits(bits: tf.Tensor, low: float, high: float) -> tf.Tensor:
    """Maps uint32 bits to float32 in [low, high), using the 24 highest bits.

    The bounds are taken in float32. Where the floats between them are further apart
    than the steps of 2^-24, the largest numbers would be rounded up to `high`: they
    become the float below it.
    """
    unit = tf.cast(tf.bitwise.right_shift(bits, _word(8)), tf.float32) * (2.0**-24)
    below = np.nextafter(np.float32(high), np.float32(low))
    return tf.minimum(unit * (high - low) + low, below)


@dataclasses.dataclass(frozen=True)
class Rows:
    """Which rows of a larger tensor a tensor holds.

    Attributes:
      part: int32 scalar, how many tensors of this shape come before.
      axis: the dimension they are parts of; None: they are put along a new first one.
    """

    part: mtf.Tensor
    axis: int | None


def stateless_uniform(
    shape: mtf.Shape,
    key: tuple[int, int],
    step: mtf.Tensor,
    low: float,
    high: float,
    rows: Rows | None = None,
) -> mtf.Tensor:
    """Returns uniform random numbers, the same on every layout; no gradient.

    Args:
      shape: named dimensions.
      key: two 32-bit words, from `name_key`.
      step: int32 scalar.
      low: lower bound, included.
      high: upper bound, excluded.
      rows: where the numbers lie in a larger tensor; None: they are all there is.
    """

    def lower(mesh_impl: mtf.MeshImpl, *laid_out: Any) -> Any:
        slice_shape = list(mesh_impl.slice_shape(shape))
        axes = split_axes(mesh_impl, shape)
        coordinates = [
            mesh_impl.laid_out_pcoord(axis) for axis in axes if axis is not None
        ]

        def draw(step: tf.Tensor, *others: tf.Tensor) -> tf.Tensor:
            remaining = iter(others)
            part = next(remaining) if rows is not None else None
            # Where this slice begins in the global tensor, dimension by dimension.
            begin = [
                0 if axis is None else next(remaining) * size
                for axis, size in zip(axes, slice_shape, strict=True)
            ]
            drawn_shape = slice_shape
            if rows is not None and rows.axis is not None:
                begin[rows.axis] += part * shape.dims[rows.axis].size
            elif rows is not None:
                begin, drawn_shape = [part, *begin], [1, *slice_shape]
            bits = slice_bits(key, step, drawn_shape, begin)
            return tf.reshape(uniform_from_bits(bits, low, high), slice_shape)

        return mesh_impl.slicewise(draw, *laid_out, *coordinates)

    inputs = [step] if rows is None else [step, rows.part]
    return laid_out_tensor(lower, inputs, (shape, tf.float32), "stateless_uniform")
