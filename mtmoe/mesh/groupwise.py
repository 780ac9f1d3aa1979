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
        mesh_impl = lowering.mesh_impl(self)
        for dim in (dim for x in self.inputs + self.outputs for dim in x.shape.dims):
            axis = mesh_impl.tensor_dimension_to_mesh_axis(dim)
            if axis is not None and dim.name not in self.splittable_dims:
                raise LayoutError(
                    f"{self.name} works on whole groups: Layout.layout_rules may not "
                    f"split {dim.name!r} (over {mesh_impl.shape[axis].name!r}), "
                    f"only {sorted(self.splittable_dims)}"
                )
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
        number the groups. Another that is split is a `LayoutError` when lowered.
      name: name of the operation.
      gradient: as `grad_function` of `mtf.slicewise`; 0 for none.
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
