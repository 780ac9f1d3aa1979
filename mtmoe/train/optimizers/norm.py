"""The norm of all gradients together, and clipping by it."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.operation import laid_out_tensor, split_axes
from mtmoe.train.optimizers.interface import Gradients
from mtmoe.train.optimizers.means import mean_over
from mtmoe.train.optimizers.update import traced


def global_norm(gradients: Gradients) -> mtf.Tensor:
    """Returns the 2-norm of all gradients together, a float32 scalar."""
    tensors = [grad for _, grad in gradients]
    shapes = [tensor.shape for tensor in tensors]

    def lower(mesh_impl: mtf.MeshImpl, *laid_out: Any) -> Any:
        # Slices that the same processors split are summed over these in one go.
        by_axes: dict[tuple[int, ...], list[Any]] = {}
        for shape, slices in zip(shapes, laid_out, strict=True):
            split = split_axes(mesh_impl, shape)
            axes = tuple(sorted(axis for axis in split if axis is not None))
            by_axes.setdefault(axes, []).append(slices)
        totals = []
        for axes, group in by_axes.items():
            partial = mesh_impl.slicewise(total, *group)
            totals.append(
                mesh_impl.allreduce(partial, list(axes), "SUM") if axes else partial
            )
        return mesh_impl.slicewise(lambda *x: tf.sqrt(tf.add_n(x)), *totals)

    @traced
    def sum_of_squares(x: tf.Tensor) -> tf.Tensor:
        square = tf.square(tf.cast(x, tf.float32))
        mean = mean_over(square, range(x.shape.rank))
        return tf.reshape(mean, []) * float(x.shape.num_elements())

    def total(*slices: tf.Tensor) -> tf.Tensor:
        return tf.add_n([sum_of_squares(x) for x in slices])

    return laid_out_tensor(lower, tensors, ([], tf.float32), "global_norm")


def clipping_factor(gradients: Gradients, largest: float | None) -> mtf.Tensor | None:
    """Returns what to multiply gradients by so that their norm is at most `largest`.

    Pascanu et al. 2013, "On the difficulty of training recurrent neural networks",
    algorithm 1. A float32 scalar, at most 1; None, for 1, where any norm is allowed.
    """
    if largest is None:
        return None
    return mtf.slicewise(
        lambda norm: largest / tf.maximum(norm, largest),
        [global_norm(gradients)],
        splittable_dims=[],
        name="clipping_factor",
    )
