"""Splitting a tensor that every processor has, or would have the sum of."""

from __future__ import annotations

from typing import Any

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.joined_sums import is_unmade_sum


def scatter(x: mtf.Tensor, dim: mtf.Dimension, name: str) -> mtf.Tensor:
    """Gives a dimension another name, under which the layout splits it.

    What `mtf.rename_dimension` does, but where `x` is a sum over the same processors
    that has not been made yet, as gradients are, each gets only its part of the sum: a
    reduce-scatter, which sends half of what an all-reduce does. No gradient.

    Args:
      x: any tensor.
      dim: a dimension of it that no mesh dimension splits.
      name: the new name.

    Returns:
      A tensor of the shape of `x`, with `name` for the name of `dim`.
    """
    return _Scatter(x, x.shape.dims.index(dim), name).outputs[0]


class _Scatter(mtf.Operation):
    """A dimension split over the mesh."""

    def __init__(self, x: mtf.Tensor, axis: int, name: str):
        super().__init__([x], name="scatter")
        self._axis = axis
        dims = list(x.shape.dims)
        dims[axis] = self._dim = mtf.Dimension(name, dims[axis].size)
        self._outputs = [mtf.Tensor(self, mtf.Shape(dims), x.dtype)]

    def lower(self, lowering: mtf.Lowering) -> None:
        """Splits the tensor, and sums it first where that is still to be done."""
        mesh_impl = lowering.mesh_impl(self)
        mesh_axis = mesh_impl.tensor_dimension_to_mesh_axis(self._dim)
        x = lowering.tensors[self.inputs[0]]
        if mesh_axis is not None:
            x = split_sum(mesh_impl, x, mesh_axis, self._axis)
        lowering.set_tensor_lowering(self.outputs[0], x)


def split_sum(mesh_impl: mtf.MeshImpl, x: Any, mesh_axis: int, split_axis: int) -> Any:
    """Gives every processor along a mesh axis its part of what is, or is to be, there.

    Args:
      mesh_impl: the mesh.
      x: a laid out tensor, the same along the axis, or a sum that is not made yet.
      mesh_axis: axis of the mesh.
      split_axis: axis of the tensor.

    Returns:
      Laid out, or a sum over other axes that is not made yet.
    """
    if (
        not is_unmade_sum(x)
        or mesh_axis not in x.mesh_axes
        or not hasattr(mesh_impl, "reduce_scatter")
    ):
        return mesh_impl.allsplit(x, mesh_axis, split_axis)
    part = mesh_impl.reduce_scatter(x.laid_out_input, mesh_axis, split_axis)
    others = [axis for axis in x.mesh_axes if axis != mesh_axis]
    return mtf.LazyAllreduceSum(mesh_impl, part, others) if others else part
