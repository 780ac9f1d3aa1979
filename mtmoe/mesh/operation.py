"""Mesh operations made of functions: one lowers, one gives the gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from mtmoe.mesh.compat import mtf

Output = tuple[mtf.Shape | Sequence[mtf.Dimension], tf.DType]


class LaidOutOperation(mtf.Operation):
    """An operation that sees the mesh, where a slicewise one sees slices alone."""

    def __init__(
        self,
        lower: Callable[..., Any],
        inputs: Sequence[mtf.Tensor],
        outputs: Sequence[Output],
        name: str,
        gradient: Callable[..., list[mtf.Tensor | None]] | None = None,
        mesh: mtf.Mesh | None = None,
    ):
        """Adds the operation to the graph.

        The graph may be cloned with other inputs: the functions take these from their
        arguments, and know no more of the given ones than shapes.

        Args:
          lower: takes the mesh implementation and each input laid out, which may be a
            sum that is still to be made; returns the output, or a sequence of them.
          inputs: mesh tensors.
          outputs: shape and dtype of each.
          name: name of the operation.
          gradient: takes the operation and the gradient of each output, None where
            there is none; returns one an input. Without it there is no gradient.
          mesh: the mesh, where there are no inputs.
        """
        super().__init__(list(inputs), mesh=mesh, name=name)
        self._lower, self._gradient = lower, gradient
        self._outputs = [
            mtf.Tensor(self, mtf.Shape(shape), dtype, index=index)
            for index, (shape, dtype) in enumerate(outputs)
        ]
        self._splittable_dims, self._unsplittable_dims = (
            self._initialize_all_dimensions_as_splittable()
        )

    def gradient(self, grad_ys: list[mtf.Tensor | None]) -> list[mtf.Tensor | None]:
        """Returns the gradient of each input."""
        if self._gradient is None:
            raise NotImplementedError(f"{self.name} has no gradient")
        return self._gradient(self, *grad_ys)

    def lower(self, lowering: mtf.Lowering) -> None:
        """Computes the outputs."""
        mesh_impl = lowering.mesh_impl(self)
        laid_out = self._lower(mesh_impl, *map(lowering.tensors.get, self.inputs))
        values = laid_out if isinstance(laid_out, list | tuple) else [laid_out]
        for output, value in zip(self.outputs, values, strict=True):
            lowering.set_tensor_lowering(output, value)


def laid_out_tensor(
    lower: Callable[..., Any],
    inputs: Sequence[mtf.Tensor],
    output: Output,
    name: str,
    gradient: Callable[..., list[mtf.Tensor | None]] | None = None,
    mesh: mtf.Mesh | None = None,
) -> mtf.Tensor:
    """Returns the one output of a `LaidOutOperation`, whose arguments these are."""
    return LaidOutOperation(lower, inputs, [output], name, gradient, mesh).outputs[0]


def split_axes(mesh_impl: mtf.MeshImpl, shape: mtf.Shape) -> list[int | None]:
    """Returns the mesh axis that splits each dimension of a shape, None for none."""
    return list(mesh_impl.tensor_layout(shape).tensor_axis_to_mesh_axis)


def sum_over_axes(
    mesh_impl: mtf.MeshImpl, summand: Any, axes: Sequence[int | None]
) -> Any:
    """Returns a sum over mesh axes of what each processor has, made when it is needed.

    None is no axis, and without axes the summand is the sum.
    """
    split = sorted(axis for axis in axes if axis is not None)
    return mtf.LazyAllreduceSum(mesh_impl, summand, split) if split else summand
