"""Parts of a batch that groups of processors compute side by side.

A mesh of two dimensions can hold a batch that is split over both, and experts that are
split over one of them: copies of the experts, one for each place along the other, as in
Mesh TensorFlow's own layer of experts ("outer batch"). A dimension of a tensor is split
over one mesh dimension only, so the batch is cut twice: the outer parts are computed
like microbatches, but side by side, each by the processors of one place along the mesh
dimension that the layout names for `outer_batch`; and `batch` splits a part.

While a part is computed, tensors differ between the places along that mesh dimension,
and nothing crosses it but what is said here. Everything that a part gives (sums,
gradients) is a summand: `sum_of_parts` adds up. A gradient is that of a place's own
summands, so what every place has been given (`all_parts`) gets the sum of what all of
them say about it, and what a place has taken for itself (`own_part`) concerns it alone.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.joined_sums import is_unmade_sum
from mtmoe.mesh.operation import laid_out_tensor, sum_over_axes
from mtmoe.mesh.scatter import split_sum

OUTER_BATCH = "outer_batch"
"""The dimension that a layout names to compute parts of the batch side by side."""


def part_number(mesh: mtf.Mesh, ways: int) -> mtf.Tensor:
    """Returns which of `ways` parts a processor computes, an int32 scalar."""

    def lower(mesh_impl: mtf.MeshImpl) -> Any:
        return mesh_impl.laid_out_pcoord(_mesh_axis(mesh_impl, ways))

    return laid_out_tensor(lower, [], ([], tf.int32), "part_number", mesh=mesh)


def own_rows(x: mtf.Tensor) -> mtf.Tensor:
    """[outer_batch, ...] -> [...], the processor's own part; no gradient."""

    def lower(mesh_impl: mtf.MeshImpl, x: Any) -> Any:
        return mesh_impl.slicewise(lambda x: tf.squeeze(x, 0), x)

    return laid_out_tensor(lower, [x], (x.shape.dims[1:], x.dtype), "own_rows")


def sum_of_parts(x: mtf.Tensor, ways: int) -> mtf.Tensor:
    """Adds up a summand of each of `ways` parts; no gradient."""

    def lower(mesh_impl: mtf.MeshImpl, x: Any) -> Any:
        axes = [_mesh_axis(mesh_impl, ways)]
        if is_unmade_sum(x):  # one sum over both kinds of axes
            axes, x = axes + list(x.mesh_axes), x.laid_out_input
        return sum_over_axes(mesh_impl, x.to_laid_out_tensor(), axes)

    return laid_out_tensor(lower, [x], (x.shape, x.dtype), "sum_of_parts")


def all_parts(x: mtf.Tensor, dim: mtf.Dimension, ways: int) -> mtf.Tensor:
    """[..., dim, ...] -> [..., ways * dim, ...]: joins what the parts have, in order.

    No rule may split the dimension. The gradient is the processor's part of the sum of
    what all parts say about it.
    """
    axis = x.shape.dims.index(dim)

    def lower(mesh_impl: mtf.MeshImpl, x: Any) -> Any:
        x = x.to_laid_out_tensor()
        return mesh_impl.allconcat(x, _mesh_axis(mesh_impl, ways), axis)

    def gradient(operation: mtf.Operation, grad: mtf.Tensor) -> list[mtf.Tensor | None]:
        del operation
        total = sum_of_parts(grad, ways)
        return [own_part(total, total.shape.dims[axis], ways)]

    shape = _resized(x.shape, axis, dim.size * ways)
    return laid_out_tensor(lower, [x], (shape, x.dtype), "all_parts", gradient)


def own_part(x: mtf.Tensor, dim: mtf.Dimension, ways: int) -> mtf.Tensor:
    """[..., dim, ...] -> [..., dim / ways, ...]: the processor's part of what all have.

    No rule may split the dimension. The gradient is zero outside of the part.
    """
    axis = x.shape.dims.index(dim)

    def lower(mesh_impl: mtf.MeshImpl, x: Any) -> Any:
        return split_sum(mesh_impl, x, _mesh_axis(mesh_impl, ways), axis)

    def gradient(operation: mtf.Operation, grad: mtf.Tensor) -> list[mtf.Tensor | None]:
        del operation
        return [_among_zeros(grad, axis, ways)]

    shape = _resized(x.shape, axis, dim.size // ways)
    return laid_out_tensor(lower, [x], (shape, x.dtype), "own_part", gradient)


def _among_zeros(x: mtf.Tensor, axis: int, ways: int) -> mtf.Tensor:
    """A processor's part in its place, zeros in those of the others."""

    def place(x: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
        # [..., part, ...] -> [..., ways, part, ...] -> [..., ways * part, ...]
        x = tf.expand_dims(x, axis)
        shape = [1] * axis + [ways] + [1] * (x.shape.rank - axis - 1)
        is_own = tf.reshape(tf.range(ways) == number, shape)
        zeros = tf.where(is_own, x, tf.zeros([], x.dtype))
        sizes = zeros.shape.as_list()
        sizes[axis : axis + 2] = [sizes[axis] * sizes[axis + 1]]
        return tf.reshape(zeros, sizes)

    def lower(mesh_impl: mtf.MeshImpl, x: Any) -> Any:
        number = mesh_impl.laid_out_pcoord(_mesh_axis(mesh_impl, ways))
        return mesh_impl.slicewise(place, x, number)

    shape = _resized(x.shape, axis, x.shape.dims[axis].size * ways)
    return laid_out_tensor(lower, [x], (shape, x.dtype), "among_zeros")


def _resized(shape: mtf.Shape, axis: int, size: int) -> mtf.Shape:
    dims = list(shape.dims)
    dims[axis] = mtf.Dimension(dims[axis].name, size)
    return mtf.Shape(dims)


def _mesh_axis(mesh_impl: mtf.MeshImpl, ways: int) -> Any:
    """The axis that the parts lie along."""
    axis = mesh_impl.tensor_dimension_to_mesh_axis(mtf.Dimension(OUTER_BATCH, ways))
    assert axis is not None, "the layout has no outer batch"
    return axis
