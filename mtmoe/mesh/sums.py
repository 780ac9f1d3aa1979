"""Sums over leading dimensions, fast where XLA compiles for a CPU.

XLA computes a sum over another dimension than the last number by number there, at a
sixth of the speed of an addition of whole arrays. So eight slices are added first, and
a matrix product sums the rest: XLA does not fuse products with what comes before, where
a sum would fuse with the additions, and be slow again. TPUs and GPUs sum well by
themselves, and their products of float32 are rounded or slow.
"""

from __future__ import annotations

import math

import tensorflow as tf

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.products import products_are_exact

_PIECES = 8


def sum_over(x: tf.Tensor, axis: int) -> tf.Tensor:
    """Sums over one dimension, which is kept with size 1.

    Args:
      x: any float tensor.
      axis: the dimension.
    """
    is_plain = products_are_exact() or axis == x.shape.rank - 1
    if is_plain or x.shape[axis] % _PIECES:
        return tf.reduce_sum(x, axis, keepdims=True)
    x = tf.add_n(tf.split(x, _PIECES, axis))
    before, rows, after = x.shape[:axis], x.shape[axis], x.shape[axis + 1 :]
    matrices = tf.reshape(x, [math.prod(before), rows, math.prod(after)])
    total = tf.matmul(tf.ones([1, rows], x.dtype), matrices)
    return tf.reshape(total, [*before, 1, *after])


def sum_to(x: mtf.Tensor, output_shape: mtf.Shape) -> mtf.Tensor:
    """Sums over the leading dimensions; no gradient.

    Args:
      x: any float tensor.
      output_shape: its last dimensions, at least one.

    Returns:
      A tensor of `output_shape` and of the dtype of `x`.
    """
    return _SumTo(x, mtf.Shape(output_shape)).outputs[0]


class _SumTo(mtf.Operation):
    """A sum over leading dimensions."""

    def __init__(self, x: mtf.Tensor, output_shape: mtf.Shape):
        super().__init__([x], name="sum_to")
        self._num_summed = x.shape.ndims - output_shape.ndims
        if x.shape.dims[self._num_summed :] != output_shape.dims:
            raise ValueError(f"{output_shape} are not the last dimensions of {x.shape}")
        self._outputs = [mtf.Tensor(self, output_shape, x.dtype)]

    def lower(self, lowering: mtf.Lowering) -> None:
        """Sums slices, then over the processors that split what is summed."""
        (x,) = self.inputs
        mesh_impl = lowering.mesh_impl(self)

        def add_up(x: tf.Tensor) -> tf.Tensor:
            summed, kept = x.shape[: self._num_summed], x.shape[self._num_summed :]
            rows = tf.reshape(x, [math.prod(summed), *kept])
            return tf.squeeze(sum_over(rows, 0), 0)

        total = mesh_impl.slicewise(add_up, lowering.tensors[x])
        layout = mesh_impl.tensor_layout(x).tensor_axis_to_mesh_axis
        axes = sorted(axis for axis in layout[: self._num_summed] if axis is not None)
        if axes:
            total = mtf.LazyAllreduceSum(mesh_impl, total, axes)
        lowering.set_tensor_lowering(self.outputs[0], total)
