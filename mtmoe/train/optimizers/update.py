"""The update of one variable, as one mesh operation."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import tensorflow as tf

from mtmoe.mesh import initializers
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext


class VariableUpdate(mtf.Operation):
    """Assigns to one variable and to the state that its optimizer keeps of it.

    One operation, where a composition of Mesh TensorFlow's own would be thirty: their
    number is the time it takes to build the graph of a large model. For the same reason
    subclasses compute with `tf.function`s, which are traced once for all variables of a
    shape and are one TensorFlow operation each; XLA compiles what is in them. On a mesh
    of one processor, where no mean crosses processors, the whole update is one.

    The state is variables `<variable>/<name>`, zero at first. Where a dimension of the
    gradient is split that the variable has whole, each processor updates its part.
    """

    optimizer: str
    """What operations are named after."""

    def __init__(
        self,
        context: GraphContext,
        variable: mtf.Variable,
        gradient: mtf.Tensor,
        factor: mtf.Tensor | None,
        state: Mapping[str, mtf.Shape],
        functions: dict[Hashable, Callable[..., Any]],
        kind: Hashable,
    ):
        """Adds the operation to the graph.

        Args:
          context: the graph.
          variable: what is updated.
          gradient: its gradient, of any float dtype; computed with in float32. A
            dimension may have another name than the variable's, under which it is
            split; see `mtmoe.train.optimizers.split_state`.
          factor: float32 scalar that the gradient is multiplied by; None: 1.
          state: name and shape of what is kept.
          functions: updates traced before, by kind; shared by those of one step.
          kind: what `change` depends on besides its arguments and their shapes.
        """
        self._variable = variable
        self._functions, self._kind = functions, kind
        self._state = {
            key: context.variable(
                f"{variable.name}/{key}", shape, initializers.zeros, trainable=False
            ).operation
            for key, shape in state.items()
        }
        # Operations are lowered in the order of creation: the state comes first.
        inputs = [variable.value, gradient] + ([] if factor is None else [factor])
        # By its variable, so that profiles tell the layers apart.
        super().__init__(inputs, name=f"{self.optimizer}/{variable.name}")

    def change(
        self,
        mesh_impl: mtf.MeshImpl,
        value: Any,
        gradient: Any,
        state: Mapping[str, Any],
    ) -> tuple[Any, dict[str, Any]]:
        """Computes the update.

        Args:
          mesh_impl: where the following are laid out, by the gradient's dimensions.
          value: the variable, float32, as are all.
          gradient: its gradient.
          state: what is kept, before the update.

        Returns:
          What to subtract from the variable, and its new state; laid out.
        """
        raise NotImplementedError

    def lower(self, lowering: mtf.Lowering) -> None:
        """Computes the update and assigns it on every processor."""
        mesh_impl = lowering.mesh_impl(self)
        _, gradient, *factor = (
            lowering.tensors[tensor].to_laid_out_tensor() for tensor in self.inputs
        )
        gradient = mesh_impl.slicewise(tf.cast, gradient, tf.float32)
        if factor:
            gradient = mesh_impl.slicewise(tf.multiply, gradient, *factor)
        variable = lowering.variables[self._variable]
        state = {key: lowering.variables[kept] for key, kept in self._state.items()}
        compute = self.change if mesh_impl.size > 1 else self._change_in_one_call
        splits = self._splits(mesh_impl)
        value = variable.laid_out_tensor
        for mesh_axis, axis in splits:
            value = mesh_impl.allsplit(value, mesh_axis, axis)
        change, new_state = compute(
            mesh_impl,
            value,
            gradient,
            {key: kept.laid_out_tensor for key, kept in state.items()},
        )
        for mesh_axis, axis in splits:
            change = mesh_impl.allconcat(change, mesh_axis, axis)
        assignments = [
            variable.assign_to_slices(mtf.assign_sub_slice, change.all_slices)
        ]
        for key, kept in state.items():
            assignments.append(
                kept.assign_to_slices(mtf.assign_slice, new_state[key].all_slices)
            )
        lowering.operations[self] = tf.group(assignments)

    def _splits(self, mesh_impl: mtf.MeshImpl) -> list[tuple[int, int]]:
        """Mesh axis and axis of each dimension that only the gradient has split."""
        whole, split = (
            mesh_impl.tensor_layout(shape).tensor_axis_to_mesh_axis
            for shape in (self._variable.shape, self.inputs[1].shape)
        )
        return [
            (mesh_axis, axis)
            for axis, mesh_axis in enumerate(split)
            if mesh_axis is not None and whole[axis] is None
        ]

    def _change_in_one_call(
        self,
        mesh_impl: mtf.MeshImpl,
        value: Any,
        gradient: Any,
        state: Mapping[str, Any],
    ) -> tuple[Any, dict[str, Any]]:
        """`change` on one processor, as one call of a traced function."""

        def lay_out(x: tf.Tensor) -> Any:
            return mesh_impl.LaidOutTensor([x])

        def change(
            value: tf.Tensor, gradient: tf.Tensor, *state: tf.Tensor
        ) -> list[tf.Tensor]:
            kept = dict(zip(self._state, map(lay_out, state), strict=True))
            change, new_state = self.change(
                mesh_impl, lay_out(value), lay_out(gradient), kept
            )
            return [_slice(x) for x in (change, *map(new_state.get, self._state))]

        function = self._functions.setdefault(self._kind, traced(change))
        new, *new_state = function(
            _slice(value),
            _slice(gradient),
            *(_slice(state[key]) for key in self._state),
        )
        return lay_out(new), dict(
            zip(self._state, map(lay_out, new_state), strict=True)
        )


def _slice(x: Any) -> tf.Tensor:
    """What is laid out on the one processor there is."""
    (only,) = x.all_slices
    return only


def traced(function: Callable[..., Any]) -> Callable[..., Any]:
    """Makes a `tf.function` of one that takes tensors, and axes as integers."""
    return tf.function(function, autograph=False)


def traced_method(method: Callable[..., Any]) -> functools.cached_property[Any]:
    """Makes a method such a function, which each object traces for itself."""
    return functools.cached_property(lambda self: traced(method.__get__(self)))
