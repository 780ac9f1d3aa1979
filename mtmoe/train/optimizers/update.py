"""The update of one variable, as one mesh operation."""

from __future__ import annotations

import abc
import dataclasses
import functools
from collections.abc import Callable, Hashable, Mapping
from typing import Any, NamedTuple

import tensorflow as tf

from mtmoe.mesh import initializers
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext


@dataclasses.dataclass(eq=False)
class UpdateRule(abc.ABC):
    """What an optimizer computes in one step, on one processor's slices.

    Methods that see slices are `traced_method`s. Between them lie means across
    processors, which `change` makes.

    Attributes:
      learning_rate: float32 scalar.
      name: what operations are named after.
      functions: whole updates traced before, by kind.
    """

    learning_rate: tf.Tensor
    name: str
    functions: dict[Hashable, Callable[..., Any]] = dataclasses.field(
        default_factory=dict, kw_only=True
    )

    @abc.abstractmethod
    def change(
        self,
        mesh_impl: mtf.MeshImpl,
        target: Target,
        value: Any,
        gradient: Any,
        **state: Any,
    ) -> tuple[Any, dict[str, Any]]:
        """Computes the update of a variable; all is float32.

        Args:
          mesh_impl: where the following are laid out, by the gradient's dimensions.
          target: what is updated.
          value: the variable.
          gradient: its gradient.
          **state: what is kept, before the update.

        Returns:
          What to subtract from the variable, and its new state; laid out.
        """


class Target(NamedTuple):
    """A variable to update.

    Attributes:
      variable: the variable.
      gradient: its gradient, of any float dtype; computed with in float32. A dimension
        may have another name than the variable's, under which it is split; see
        `mtmoe.train.optimizers.split_state`.
      state: name and shape of what is kept.
      kind: what the update depends on besides its arguments and their shapes.
    """

    variable: mtf.Variable
    gradient: mtf.Tensor
    state: Mapping[str, mtf.Shape]
    kind: Any


class VariableUpdate(mtf.Operation):
    """Assigns to one variable and to the state that its optimizer keeps of it.

    One operation, where a composition of Mesh TensorFlow's own would be thirty: their
    number is the time it takes to build the graph of a large model. For the same reason
    rules compute with `tf.function`s, which are traced once for all variables of a
    shape and are one TensorFlow operation each; XLA compiles what is in them. On a mesh
    of one processor, where no mean crosses processors, the whole update is one.

    The state is variables `<variable>/<name>`, zero at first. Where a dimension of the
    gradient is split that the variable has whole, each processor updates its part.
    """

    def __init__(
        self,
        context: GraphContext,
        rule: UpdateRule,
        target: Target,
        factor: mtf.Tensor | None,
    ):
        """Adds the operation to the graph.

        Args:
          context: the graph.
          rule: how it is updated.
          target: what is updated.
          factor: float32 scalar that the gradient is multiplied by; None: 1.
        """
        self._rule, self._target = rule, target
        variable = target.variable
        self._state = {
            key: context.variable(
                f"{variable.name}/{key}", shape, initializers.zeros, trainable=False
            ).operation
            for key, shape in target.state.items()
        }
        # Operations are lowered in the order of creation: the state comes first.
        inputs = [variable.value, target.gradient]
        # By its variable, so that profiles tell the layers apart.
        super().__init__(
            inputs if factor is None else [*inputs, factor],
            name=f"{rule.name}/{variable.name}",
        )

    def lower(self, lowering: mtf.Lowering) -> None:
        """Computes the update and assigns it on every processor."""
        mesh_impl = lowering.mesh_impl(self)
        _, gradient, *factor = (
            lowering.tensors[tensor].to_laid_out_tensor() for tensor in self.inputs
        )
        gradient = mesh_impl.slicewise(tf.cast, gradient, tf.float32)
        if factor:
            gradient = mesh_impl.slicewise(tf.multiply, gradient, *factor)
        variable = lowering.variables[self._target.variable]
        state = {key: lowering.variables[kept] for key, kept in self._state.items()}
        compute = self._change_in_one_call if mesh_impl.size == 1 else self._rule.change
        splits = self._splits(mesh_impl)
        value = variable.laid_out_tensor
        for mesh_axis, axis in splits:
            value = mesh_impl.allsplit(value, mesh_axis, axis)
        change, new_state = compute(
            mesh_impl,
            self._target,
            value,
            gradient,
            **{key: kept.laid_out_tensor for key, kept in state.items()},
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
            for shape in (self._target.variable.shape, self.inputs[1].shape)
        )
        return [
            (mesh_axis, axis)
            for axis, mesh_axis in enumerate(split)
            if mesh_axis is not None and whole[axis] is None
        ]

    def _change_in_one_call(
        self,
        mesh_impl: mtf.MeshImpl,
        target: Target,
        value: Any,
        gradient: Any,
        **state: Any,
    ) -> tuple[Any, dict[str, Any]]:
        """The rule's change on one processor, as one call of a traced function."""
        rule, names = self._rule, list(target.state)

        def lay_out(x: tf.Tensor) -> Any:
            return mesh_impl.LaidOutTensor([x])

        def change(*slices: tf.Tensor) -> list[tf.Tensor]:
            value, gradient, *kept = map(lay_out, slices)
            change, new_state = rule.change(
                mesh_impl,
                target,
                value,
                gradient,
                **dict(zip(names, kept, strict=True)),
            )
            return [_slice(x) for x in (change, *map(new_state.get, names))]

        function = rule.functions.setdefault(target.kind, traced(change))
        new, *new_state = map(
            lay_out, function(*map(_slice, (value, gradient, *map(state.get, names))))
        )
        return new, dict(zip(names, new_state, strict=True))


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
