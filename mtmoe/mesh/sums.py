"""Sums over leading dimensions, fast where XLA compiles for a CPU.

XLA computes a sum over another dimension than the last number by number there, at a
sixth of the speed of an addition of whole arrays. So eight slices are added first, and
a matrix product sums the rest: XLA does not fuse products with what comes before, where
a sum would fuse with the additions, and be slow again. TPUs and GPUs sum well by
themselves, and their products of float32 are rounded or slow.
"""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.operation import laid_out_tensor, split_axes, sum_over_axes
from mtmoe.mesh.products import products_are_exact

_PIECES = 8


def sum_over(x: tf.Tensor, axis: int) -> tf.Tensor:
    """Sums a float tensor over one dimension, which is kept with size 1."""
    is_plain = products_are_exact() or axis == x.shape.rank - 1
    if is_plain or x.shape[axis] % _PIECES:
        return tf.reduce_sum(x, axis, keepdims=True)
    x = tf.add_n(tf.split(x, _PIECES, axis))
    before, rows, after = x.shape[:axis], x.shape[axis], x.shape[axis + 1 :]
    matrices = tf.reshape(x, [math.prod(before), rows, math.prod(after)])
    total = tf.matmul(tf.ones([1, rows], x.dtype), matrices)
    return tf.reshape(total, [*before, 1, *after])


def sum_to(x: mtf.Tensor, output_shape: mtf.Shape) -> mtf.Tensor:
    """[summed dims, output_shape] -> output_shape: a sum; no gradient."""
    output_shape = mtf.Shape(output_shape)
    num_summed = x.shape.ndims - output_shape.ndims
    if x.shape.dims[num_summed:] != output_shape.dims:
        raise ValueError(f"{output_shape} are not the last dimensions of {x.shape}")
    shape = x.shape

    def add_up(x: tf.Tensor) -> tf.Tensor:
        # [summed..., kept...] -> [rows, kept...] -> [kept...]
        rows = tf.reshape(x, [math.prod(x.shape[:num_summed]), *x.shape[num_summed:]])
        return tf.squeeze(sum_over(rows, 0), 0)

    def lower(mesh_impl: mtf.MeshImpl, x: Any) -> Any:
        total = mesh_impl.slicewise(add_up, x)
        axes = split_axes(mesh_impl, shape)[:num_summed]
        return sum_over_axes(mesh_impl, total, axes)

    return laid_out_tensor(lower, [x], (output_shape, x.dtype), "sum_to")
