"""Splitting a tensor that every processor has, or would have the sum of."""

from __future__ import annotations

from typing import Any

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.joined_sums import is_unmade_sum
from mtmoe.mesh.operation import laid_out_tensor, sum_over_axes


def scatter(x: mtf.Tensor, dim: mtf.Dimension, name: str) -> mtf.Tensor:
    """Gives an unsplit dimension another name, under which the layout splits it.

    What `mtf.rename_dimension` does, but where `x` is a sum over the same processors
    that has not been made yet, as gradients are, each gets only its part of the sum: a
    reduce-scatter, which sends half of what an all-reduce does. No gradient.
    """
    axis = x.shape.dims.index(dim)
    dims = list(x.shape.dims)
    dims[axis] = split_dim = mtf.Dimension(name, dim.size)

    def lower(mesh_impl: mtf.MeshImpl, x: Any) -> Any:
        mesh_axis = mesh_impl.tensor_dimension_to_mesh_axis(split_dim)
        if mesh_axis is None:
            return x
        return split_sum(mesh_impl, x, mesh_axis, axis)

    return laid_out_tensor(lower, [x], (dims, x.dtype), "scatter")


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
    return sum_over_axes(mesh_impl, part, others)
