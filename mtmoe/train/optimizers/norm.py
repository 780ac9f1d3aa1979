"""The norm of all gradients together, and clipping by it."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from mtmoe.mesh.compat import mtf
from mtmoe.train.optimizers.interface import Gradients
from mtmoe.train.optimizers.means import mean_over
from mtmoe.train.optimizers.update import traced


def global_norm(gradients: Gradients) -> mtf.Tensor:
    """Returns the 2-norm of all gradients together, a float32 scalar."""
    return _GlobalNorm([grad for _, grad in gradients]).outputs[0]


def clipping_factor(gradients: Gradients, largest: float | None) -> mtf.Tensor | None:
    """Returns what to multiply gradients by so that their norm is at most `largest`.

    Pascanu et al. 2013, "On the difficulty of training recurrent neural networks",
    algorithm 1.

    Args:
      gradients: which have one 2-norm together.
      largest: the norm they may have; None for any.

    Returns:
      A float32 scalar, at most 1; None for 1.
    """
    if largest is None:
        return None
    return mtf.slicewise(
        lambda norm: largest / tf.maximum(norm, largest),
        [global_norm(gradients)],
        splittable_dims=[],
        name="clipping_factor",
    )


class _GlobalNorm(mtf.Operation):
    """The 2-norm of several tensors together, as one operation."""

    def __init__(self, tensors: list[mtf.Tensor]):
        super().__init__(tensors, name="global_norm")
        self._outputs = [mtf.Tensor(self, mtf.Shape([]), tf.float32)]

    def lower(self, lowering: mtf.Lowering) -> None:
        mesh_impl = lowering.mesh_impl(self)

        @traced
        def sum_of_squares(x: tf.Tensor) -> tf.Tensor:
            square = tf.square(tf.cast(x, tf.float32))
            mean = mean_over(square, range(x.shape.rank))
            return tf.reshape(mean, []) * float(x.shape.num_elements())

        def total(*slices: tf.Tensor) -> tf.Tensor:
            return tf.add_n([sum_of_squares(x) for x in slices])

        by_axes: dict[tuple[int, ...], list[Any]] = {}
        for tensor in self.inputs:
            layout = mesh_impl.tensor_layout(tensor).tensor_axis_to_mesh_axis
            axes = tuple(sorted(axis for axis in layout if axis is not None))
            by_axes.setdefault(axes, []).append(lowering.tensors[tensor])
        totals = []
        for axes, slices in by_axes.items():
            partial = mesh_impl.slicewise(total, *slices)
            totals.append(
                mesh_impl.allreduce(partial, list(axes), "SUM") if axes else partial
            )
        norm = mesh_impl.slicewise(lambda *x: tf.sqrt(tf.add_n(x)), *totals)
        lowering.set_tensor_lowering(self.outputs[0], norm)
