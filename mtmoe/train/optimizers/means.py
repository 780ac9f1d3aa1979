"""Means over dimensions of tensors, exact and fast where XLA compiles them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.joined_sums import sum_across
from mtmoe.mesh.sums import sum_over


def mean_over(x: tf.Tensor, axes: Sequence[int]) -> tf.Tensor:
    """Means over ascending `axes`, which are kept with size 1.

    One dimension after the other, the last first: a float32 sum of millions of numbers
    one by one would have four digits. Between them XLA sees a division, or it would
    make one sum of two.
    """
    for axis in reversed(axes):
        size = x.shape[axis]
        if axis == axes[-1]:
            x = sum_over(x, axis)
        else:
            x = tf.reduce_sum(x, axis, keepdims=True)
        x *= 1.0 / size
    return x


class MeansAcross:
    """Means over the processors that split dimensions of tensors of a shape."""

    def __init__(self, mesh_impl: mtf.MeshImpl, shape: mtf.Shape):
        """Takes the shape of all tensors, before the mean over a processor's slice."""
        self._mesh_impl = mesh_impl
        self._mesh_axes = mesh_impl.tensor_layout(shape).tensor_axis_to_mesh_axis

    def __call__(self, partials: Sequence[Any], axes: Sequence[int]) -> list[Any]:
        """Returns means over whole dimensions.

        Args:
          partials: of some tensors, each processor's mean over its slices of `axes`,
            laid out.
          axes: of the shape.
        """
        split = sorted(
            mesh_axis
            for mesh_axis in (self._mesh_axes[axis] for axis in axes)
            if mesh_axis is not None
        )
        if not split:
            return list(partials)
        processors = math.prod(self._mesh_impl.shape[axis].size for axis in split)
        return [
            self._mesh_impl.slicewise(lambda x: x * (1.0 / processors), total)
            for total in sum_across(self._mesh_impl, partials, split)
        ]
