"""Placement of a mesh on named devices, each variable read exactly once a step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from mtmoe.mesh.compat import mtf, placement_mesh_impl
from mtmoe.mesh.products import product


class PlacementMeshImpl(placement_mesh_impl.PlacementMeshImpl):
    """Mesh TensorFlow's placement, without its race between reads and assignments.

    Mesh TensorFlow reads a variable by casting it to its activation dtype. The cast of
    a resource variable to the dtype it has is the variable itself, so that every use
    would become a read of its own, and one that is not an ancestor of the assignment
    could see the new value. Here it is read once, before anything is assigned to it.
    """

    class LaidOutVariable(placement_mesh_impl.PlacementMeshImpl.LaidOutVariable):
        """One variable's slices and the values they had when the step began."""

        def __init__(self, variable: mtf.Variable, mesh_impl: PlacementMeshImpl):
            """Reads the slices.

            Args:
              variable: the variable to lay out.
              mesh_impl: the mesh it is laid out on.
            """
            self._read: list[tf.Tensor] = []
            super().__init__(variable, mesh_impl)
            self._slices = self.laid_out_tensor.all_slices
            for device, part in zip(mesh_impl.devices, self._slices, strict=True):
                with tf.device(device):
                    self._read.append(part.read_value())
            self._laid_out_tensor: Any = mesh_impl.LaidOutTensor(self._read)

        def assign_to_slices(
            self, assign_fn: Callable[..., Any], values: Sequence[tf.Tensor]
        ) -> tf.Operation:
            """Assigns to every slice, after the step has read it."""
            # The copy from the master is made by the constructor, before any read.
            slices = self._slices if self._read else self.laid_out_tensor.all_slices
            variables = [self._variable] * len(values)
            with tf.control_dependencies(self._read):
                return tf.group(
                    mtf.parallel(
                        self._mesh_impl.devices, assign_fn, variables, slices, values
                    )
                )

    def einsum(self, equation: str, *slices: tf.Tensor) -> tf.Tensor:
        """Einstein summation of one processor's slices."""
        if len(slices) == 2:
            return product(equation, *slices)
        return super().einsum(equation, *slices)
