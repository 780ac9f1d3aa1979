"""Operations that see whole groups of tokens: only some dimensions may be split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from mtmoe.errors import LayoutError
from mtmoe.mesh.compat import mtf


class GroupwiseOperation(mtf.SlicewiseOperation):
    """A slicewise operation that says which dimension the layout may not split."""

    def lower(self, lowering: mtf.Lowering) -> None:
        """Applies the function to every processor's slices.

        Raises:
          LayoutError: the layout splits another dimension than those allowed.
        """
        check_splits(self, lowering.mesh_impl(self), self.splittable_dims)
        super().lower(lowering)


def groupwise(
    function: Callable[..., Any],
    inputs: Sequence[mtf.Tensor],
    outputs: Sequence[tuple[mtf.Shape, tf.DType]],
    splittable_dims: Sequence[mtf.Dimension],
    name: str,
    gradient: Callable[..., list[mtf.Tensor | None]] | int = 0,
) -> list[mtf.Tensor]:
    """Applies a TensorFlow function to whole groups, as one mesh operation.

    Args:
      function: takes a `tf.Tensor` an input and returns one an output.
      inputs: mesh tensors.
      outputs: shape and dtype of every output.
      splittable_dims: the dimensions that the layout may split; usually those that
        number the groups.
      name: name of the operation.
      gradient: as `grad_function` of `mtf.slicewise`; 0 for none.

    Returns:
      The outputs.

    Raises:
      LayoutError: when lowered, the layout splits another dimension.
    """
    return GroupwiseOperation(
        function,
        list(inputs),
        [mtf.Shape(shape) for shape, _ in outputs],
        [dtype for _, dtype in outputs],
        splittable_dims=list(splittable_dims),
        grad_function=gradient,
        name=name,
    ).outputs


def check_splits(
    operation: mtf.Operation, mesh_impl: mtf.MeshImpl, allowed: Sequence[str]
) -> None:
    """Refuses a layout that splits a dimension of an operation that must be whole.

    Args:
      operation: the operation.
      mesh_impl: where it is laid out.
      allowed: names of the dimensions that may be split.

    Raises:
      LayoutError: another dimension is split.
    """
    for tensor in operation.inputs + operation.outputs:
        for dim in tensor.shape:
            axis = mesh_impl.tensor_dimension_to_mesh_axis(dim)
            if axis is not None and dim.name not in allowed:
                raise LayoutError(
                    f"{operation.name} works on whole groups: Layout.layout_rules may "
                    f"not split {dim.name!r} (over {mesh_impl.shape[axis].name!r}), "
                    f"only {sorted(allowed)}"
                )
