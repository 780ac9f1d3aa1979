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
from mtmoe.mesh.scatter import split_sum

OUTER_BATCH = "outer_batch"
"""The dimension that a layout names to compute parts of the batch side by side."""


def part_number(mesh: mtf.Mesh, ways: int) -> mtf.Tensor:
    """Returns the number of the part that a processor computes, an int32 scalar.

    Args:
      mesh: the mesh.
      ways: how many parts there are.
    """
    return _PartNumber(mesh, mtf.Dimension(OUTER_BATCH, ways)).outputs[0]


def own_rows(x: mtf.Tensor) -> mtf.Tensor:
    """[outer_batch, ...] -> [...], the processor's own part; no gradient."""
    return _OwnRows(x).outputs[0]


def sum_of_parts(x: mtf.Tensor, ways: int) -> mtf.Tensor:
    """Adds up what the parts give; no gradient.

    Args:
      x: a summand of every part.
      ways: how many parts there are.
    """
    return _SumOfParts(x, mtf.Dimension(OUTER_BATCH, ways)).outputs[0]


def all_parts(x: mtf.Tensor, dim: mtf.Dimension, ways: int) -> mtf.Tensor:
    """Joins what the parts have along a dimension, in order.

    Args:
      x: any tensor.
      dim: a dimension of it that is not split.
      ways: how many parts there are.

    Returns:
      The shape of `x`, `dim` being `ways` times as large.
    """
    return _AllParts(x, x.shape.dims.index(dim), ways).outputs[0]


def own_part(x: mtf.Tensor, dim: mtf.Dimension, ways: int) -> mtf.Tensor:
    """Cuts the processor's own part out of what all have.

    Args:
      x: any tensor.
      dim: a dimension of it that is not split, and whose size `ways` divides.
      ways: how many parts there are.

    Returns:
      The shape of `x`, `dim` being one of `ways` parts.
    """
    return _OwnPart(x, x.shape.dims.index(dim), ways).outputs[0]


def _resized(shape: mtf.Shape, axis: int, size: int) -> mtf.Shape:
    dims = list(shape.dims)
    dims[axis] = mtf.Dimension(dims[axis].name, size)
    return mtf.Shape(dims)


def _mesh_axis(mesh_impl: mtf.MeshImpl, ways: int) -> Any:
    """The axis that the parts lie along."""
    axis = mesh_impl.tensor_dimension_to_mesh_axis(mtf.Dimension(OUTER_BATCH, ways))
    assert axis is not None, "the layout has no outer batch"
    return axis


class _PartNumber(mtf.Operation):
    """A processor's place along the mesh dimension of the parts."""

    def __init__(self, mesh: mtf.Mesh, dim: mtf.Dimension):
        super().__init__([], mesh=mesh, name="part_number")
        self._ways = dim.size
        self._outputs = [mtf.Tensor(self, mtf.Shape([]), tf.int32)]

    def lower(self, lowering: mtf.Lowering) -> None:
        mesh_impl = lowering.mesh_impl(self)
        place = mesh_impl.laid_out_pcoord(_mesh_axis(mesh_impl, self._ways))
        lowering.set_tensor_lowering(self.outputs[0], place)


class _OwnRows(mtf.Operation):
    """A first dimension of one part a place, left out."""

    def __init__(self, x: mtf.Tensor):
        super().__init__([x], name="own_rows")
        self._outputs = [mtf.Tensor(self, mtf.Shape(x.shape.dims[1:]), x.dtype)]

    def lower(self, lowering: mtf.Lowering) -> None:
        mesh_impl = lowering.mesh_impl(self)
        own = mesh_impl.slicewise(
            lambda x: tf.squeeze(x, 0), lowering.tensors[self.inputs[0]]
        )
        lowering.set_tensor_lowering(self.outputs[0], own)


class _SumOfParts(mtf.Operation):
    """A sum over the places, made once with other sums that are still to be made."""

    def __init__(self, x: mtf.Tensor, dim: mtf.Dimension):
        super().__init__([x], name="sum_of_parts")
        self._ways = dim.size
        self._outputs = [mtf.Tensor(self, x.shape, x.dtype)]

    def lower(self, lowering: mtf.Lowering) -> None:
        mesh_impl = lowering.mesh_impl(self)
        axes = [_mesh_axis(mesh_impl, self._ways)]
        x = lowering.tensors[self.inputs[0]]
        if is_unmade_sum(x):
            axes, x = sorted(axes + list(x.mesh_axes)), x.laid_out_input
        total = mtf.LazyAllreduceSum(mesh_impl, x.to_laid_out_tensor(), axes)
        lowering.set_tensor_lowering(self.outputs[0], total)


class _AllParts(mtf.Operation):
    """A gather; its gradient is the sum over the places of their gradients."""

    def __init__(self, x: mtf.Tensor, axis: int, ways: int):
        super().__init__([x], name="all_parts")
        self._axis, self._ways = axis, ways
        shape = _resized(x.shape, axis, x.shape.dims[axis].size * ways)
        self._outputs = [mtf.Tensor(self, shape, x.dtype)]

    def gradient(self, grad_ys: list[mtf.Tensor]) -> list[mtf.Tensor]:
        total = sum_of_parts(grad_ys[0], self._ways)
        return [own_part(total, total.shape.dims[self._axis], self._ways)]

    def lower(self, lowering: mtf.Lowering) -> None:
        mesh_impl = lowering.mesh_impl(self)
        x = lowering.tensors[self.inputs[0]].to_laid_out_tensor()
        whole = mesh_impl.allconcat(x, _mesh_axis(mesh_impl, self._ways), self._axis)
        lowering.set_tensor_lowering(self.outputs[0], whole)


class _OwnPart(mtf.Operation):
    """A slice; its gradient is zero outside of it."""

    def __init__(self, x: mtf.Tensor, axis: int, ways: int):
        super().__init__([x], name="own_part")
        self._axis, self._ways = axis, ways
        shape = _resized(x.shape, axis, x.shape.dims[axis].size // ways)
        self._outputs = [mtf.Tensor(self, shape, x.dtype)]

    def gradient(self, grad_ys: list[mtf.Tensor]) -> list[mtf.Tensor]:
        return [_AmongZeros(grad_ys[0], self._axis, self._ways).outputs[0]]

    def lower(self, lowering: mtf.Lowering) -> None:
        mesh_impl = lowering.mesh_impl(self)
        x = lowering.tensors[self.inputs[0]]
        mesh_axis = _mesh_axis(mesh_impl, self._ways)
        part = split_sum(mesh_impl, x, mesh_axis, self._axis)
        lowering.set_tensor_lowering(self.outputs[0], part)


class _AmongZeros(mtf.Operation):
    """A processor's part in its place, zeros in those of the others."""

    def __init__(self, x: mtf.Tensor, axis: int, ways: int):
        super().__init__([x], name="among_zeros")
        self._axis, self._ways = axis, ways
        shape = _resized(x.shape, axis, x.shape.dims[axis].size * ways)
        self._outputs = [mtf.Tensor(self, shape, x.dtype)]

    def lower(self, lowering: mtf.Lowering) -> None:
        mesh_impl = lowering.mesh_impl(self)
        axis, ways = self._axis, self._ways

        def place(x: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
            x = tf.expand_dims(x, axis)
            shape = [1] * axis + [ways] + [1] * (x.shape.rank - axis - 1)
            is_own = tf.reshape(tf.range(ways) == number, shape)
            zeros = tf.where(is_own, x, tf.zeros([], x.dtype))
            sizes = zeros.shape.as_list()
            sizes[axis : axis + 2] = [sizes[axis] * sizes[axis + 1]]
            return tf.reshape(zeros, sizes)

        whole = mesh_impl.slicewise(
            place,
            lowering.tensors[self.inputs[0]],
            mesh_impl.laid_out_pcoord(_mesh_axis(mesh_impl, ways)),
        )
        lowering.set_tensor_lowering(self.outputs[0], whole)
