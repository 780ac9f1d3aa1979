"""Reading and writing one place of a dimension at a position known at run time.

Both cost what one place holds, whatever the size of the dimension: XLA updates a slice
of a loop's state in the buffer it lies in.
"""

from __future__ import annotations

import tensorflow as tf
from tensorflow.compiler.tf2xla.python import xla

from mtmoe.mesh.compat import mtf


def write_at(
    x: mtf.Tensor,
    value: mtf.Tensor,
    dim: mtf.Dimension,
    position: mtf.Tensor,
) -> mtf.Tensor:
    """Returns `x` with `value` at one place of a dimension; no gradient.

    Args:
      x: any tensor with `dim`.
      value: the shape of `x`, with a dimension of the same name and size 1 for `dim`.
      dim: the dimension that is written to; it may not be split over the mesh.
      position: int32 scalar, in [0, size of `dim`).
    """
    axis = x.shape.dims.index(dim)
    return mtf.slicewise(
        lambda x, value, position: _update_slice(x, value, position, axis),
        [x, value, position],
        output_shape=x.shape,
        output_dtype=x.dtype,
        splittable_dims=[d for d in x.shape.dims if d != dim],
        grad_function=0,
        name="write_at",
    )


def take_at(x: mtf.Tensor, dim: mtf.Dimension, position: mtf.Tensor) -> mtf.Tensor:
    """[..., dim, ...] -> [..., 1, ...]: one place of a dimension; no gradient.

    `position` is an int32 scalar in [0, size of `dim`), and no rule may split `dim`.
    """
    axis = x.shape.dims.index(dim)
    taken = [mtf.Dimension(d.name, 1) if d == dim else d for d in x.shape.dims]

    def take(x: tf.Tensor, position: tf.Tensor) -> tf.Tensor:
        # Of a slice XLA would try to find out its position while it compiles, at the
        # cost of running all that leads to it; a gather of one row is taken as it is.
        return tf.gather(x, tf.reshape(position, [1]), axis=axis)

    return mtf.slicewise(
        take,
        [x, position],
        output_shape=mtf.Shape(taken),
        output_dtype=x.dtype,
        splittable_dims=[d for d in x.shape.dims if d != dim],
        grad_function=0,
        name="take_at",
    )


def _corner(position: tf.Tensor, axis: int, rank: int) -> tf.Tensor:
    """int32 [rank]: `position` at an axis, 0 at the others."""
    return tf.stack([position if i == axis else 0 for i in range(rank)])


def _update_slice(
    x: tf.Tensor, value: tf.Tensor, position: tf.Tensor, axis: int
) -> tf.Tensor:
    """One dynamic-update-slice."""
    return xla.dynamic_update_slice(x, value, _corner(position, axis, x.shape.rank))
