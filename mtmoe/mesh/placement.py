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
        """One variable's slices and the values they had when the step began.

        Copies between the slices and the master are made eagerly. In the graph they
        would have to be cut out of every step again, and the graph copied for it.
        """

        def __init__(self, variable: mtf.Variable, mesh_impl: PlacementMeshImpl):
            """Makes the slices and reads them.

            Args:
              variable: the variable to lay out.
              mesh_impl: the mesh it is laid out on.
            """
            self._variable, self._mesh_impl = variable, mesh_impl
            self._slices, self._read = [], []
            size = mesh_impl.slice_shape(variable.outputs[0].shape)
            for processor, device in enumerate(mesh_impl.devices):
                with tf.device(device):
                    part = (
                        variable.get_master()
                        if self.slice_is_master
                        else tf.compat.v1.get_variable(
                            f"{variable.name}_slice_{processor}",
                            size,
                            dtype=variable.slice_dtype,
                            collections=[],
                        )
                    )
                    self._slices.append(part)
                    self._read.append(part.read_value())
            self._laid_out_tensor: Any = mesh_impl.LaidOutTensor(self._read)

        def assign_to_slices(
            self, assign_fn: Callable[..., Any], values: Sequence[tf.Tensor]
        ) -> tf.Operation:
            """Assigns to every slice, after the step has read it."""
            variables = [self._variable] * len(values)
            with tf.control_dependencies(self._read):
                return tf.group(
                    mtf.parallel(
                        self._mesh_impl.devices,
                        assign_fn,
                        variables,
                        self._slices,
                        values,
                    )
                )

        def cut_master(self) -> None:
            """Sets the slices to the parts of the master, eagerly."""
            if not self.slice_is_master:
                master = self._variable.get_master().read_value()
                values = self._mesh_impl.make_slices(
                    master, self._variable.outputs[0].shape
                )
                for part, value in zip(self._slices, values, strict=True):
                    part.assign(value)

        def join_slices(self) -> None:
            """Sets the master to the slices side by side, eagerly."""
            if not self.slice_is_master:
                values = [part.read_value() for part in self._slices]
                self._variable.get_master().assign(
                    self._mesh_impl.combine_slices(
                        values, self._variable.outputs[0].shape
                    )
                )

    def einsum(self, equation: str, *slices: tf.Tensor) -> tf.Tensor:
        """Einstein summation of one processor's slices."""
        if len(slices) == 2:
            return product(equation, *slices)
        return super().einsum(equation, *slices)
