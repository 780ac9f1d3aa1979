"""Lowering of a mesh graph for ONE processor: single program, multiple data.

Every processor runs the same program. What differs is its number, an argument, and its
slices of the features and the variables. Variables are arguments too, and their last
assigned values are results: the program is a pure function.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from mtmoe.mesh import collectives
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.products import product

# Sums of bfloat16 over more processors than these are taken in float32, as Mesh
# TensorFlow does for TPUs: each addition loses half a unit of 8 bits.
_BFLOAT16_GROUP = 8


class Slice:
    """The processor's slice of a tensor."""

    def __init__(self, tensor_list: list[tf.Tensor]):
        """Takes a list of one tensor, as Mesh TensorFlow hands them over."""
        self.tensor_list = tensor_list

    @property
    def one_slice(self) -> tf.Tensor:
        """The slice."""
        return self.tensor_list[0]

    @property
    def all_slices(self) -> list[tf.Tensor]:
        """The slices of all processors that this program is for: one."""
        return self.tensor_list

    @property
    def slice_shape(self) -> list[int]:
        """Shape of the slice."""
        return list(self.one_slice.shape)

    @classmethod
    def from_tensor_list(cls, tensor_list: list[tf.Tensor]) -> Slice:
        """Makes one of a list of one tensor."""
        return cls(tensor_list)

    def to_laid_out_tensor(self) -> Slice:
        """Returns itself; a lazy sum would be added up here."""
        return self


class VariableSlice:
    """The processor's slice of a variable: an argument, and perhaps a result.

    Attributes:
      variable: the variable.
      argument: its value before the program runs.
      assigned: its value after it, None where nothing assigns to it.
    """

    def __init__(self, variable: mtf.Variable, mesh_impl: SpmdMeshImpl):
        """Makes the argument; called when the variable is lowered."""
        self.variable = variable
        shape = mesh_impl.slice_shape(variable.outputs[0].shape)
        self.argument = tf.compat.v1.placeholder(variable.slice_dtype, shape)
        self.assigned: tf.Tensor | None = None

    @property
    def laid_out_tensor(self) -> Slice:
        """The value before the program runs."""
        return Slice([self.argument])

    def assign_to_slices(
        self,
        assign: Callable[..., Any],
        values: Sequence[tf.Tensor],
        assign_to_tensor_list: Any = None,
    ) -> tf.Operation:
        """Keeps what the variable will be; later assignments follow on earlier ones."""
        del assign_to_tensor_list
        current = self.argument if self.assigned is None else self.assigned
        value = tf.cast(values[0], self.variable.slice_dtype)
        if assign is mtf.assign_sub_slice:
            value = current - value
        elif assign is mtf.assign_add_slice:
            value = current + value
        elif assign is not mtf.assign_slice:
            raise ValueError(f"an assignment of an unknown kind: {assign}")
        self.assigned = value
        return tf.no_op()


class SpmdMeshImpl(mtf.MeshImpl):
    """Lowers for one processor of a mesh."""

    LaidOutTensor = Slice
    LaidOutVariable = VariableSlice

    def __init__(
        self,
        shape: mtf.Shape,
        layout_rules: mtf.LayoutRules,
        processor: tf.Tensor,
        ordered_sums: bool = False,
        joins_sums: bool = False,
    ):
        """Prepares the lowering.

        Args:
          shape: the mesh.
          layout_rules: which tensor dimension is split over which of the mesh.
          processor: int32 scalar, the number of the processor in row-major order.
          ordered_sums: sum over processors in their order, whatever transports it.
          joins_sums: whether `joined_sums` sends small sums as one array.
        """
        super().__init__(shape, layout_rules)
        self._processor = processor
        self._ordered_sums = ordered_sums
        self.joins_sums = joins_sums
        self._channel = collectives.channels()

    @property
    def supports_control_dependencies(self) -> bool:
        """XLA orders by data alone."""
        return False

    @property
    def devices(self) -> list[str]:
        """No TensorFlow device is named."""
        return [""] * self.size

    def laid_out_pnum(self) -> Slice:
        """The processor's number, int32 scalar."""
        return Slice([self._processor])

    def laid_out_pcoord(self, mesh_axis: int) -> Slice:
        """The processor's coordinate along an axis of the mesh, int32 scalar."""
        behind = self.shape.to_integer_list[mesh_axis + 1 :]
        divisor, modulus = mtf.list_product(behind), self.shape[mesh_axis].size
        return Slice([self._processor // divisor % modulus])

    def groups(self, mesh_axes: Sequence[int]) -> list[list[int]]:
        """The processors that differ in their coordinates along some axes only."""
        groups: dict[int, list[int]] = {}
        for processor in range(self.size):
            group = mtf.pnum_to_group(self.shape, list(mesh_axes), processor)
            groups.setdefault(group, []).append(processor)
        return list(groups.values())

    def allreduce(
        self, x: Any, mesh_axes: Sequence[int], reduction_fn_string: str
    ) -> Slice:
        """Reduces over axes of the mesh, by "SUM", "MAX" or "MIN"."""
        laid_out: Slice = x.to_laid_out_tensor()
        if not self._splits(mesh_axes):
            return laid_out
        groups, tensor = self.groups(mesh_axes), laid_out.one_slice
        wide = tensor
        if tensor.dtype == tf.bfloat16 and len(groups[0]) > _BFLOAT16_GROUP:
            wide = tf.cast(tensor, tf.float32)
        if self._orders(wide, groups) and reduction_fn_string == "SUM":
            reduced = collectives.ordered_all_reduce(wide, groups, self._channel)
        else:
            reduced = collectives.all_reduce(
                wide, groups, reduction_fn_string, self._channel()
            )
        return Slice([tf.cast(reduced, tensor.dtype)])

    def reduce_scatter(self, x: Any, mesh_axis: int, split_axis: int) -> Slice:
        """Sums over an axis of the mesh, and splits the sum along one of the tensor."""
        laid_out: Slice = x.to_laid_out_tensor()
        if not self._splits([mesh_axis]):
            return laid_out
        groups, tensor = self.groups([mesh_axis]), laid_out.one_slice
        reduce = collectives.reduce_scatter
        if self._orders(tensor, groups):
            reduce = collectives.ordered_reduce_scatter
        return Slice([reduce(tensor, groups, split_axis, self._channel())])

    def allconcat(
        self, x: Any, mesh_axis: int, concat_axis: int, stack: bool = False
    ) -> Slice:
        """Joins the slices of the processors along an axis of the mesh."""
        tensor = x.to_laid_out_tensor().one_slice
        if stack:
            tensor = tf.expand_dims(tensor, concat_axis)
        if not self._splits([mesh_axis]):
            return Slice([tensor])
        groups = self.groups([mesh_axis])
        return self._as_numbers(
            tensor,
            lambda x: collectives.all_gather(x, groups, concat_axis, self._channel()),
        )

    def alltoall(
        self, x: Any, mesh_axis: int, split_axis: int, concat_axis: int
    ) -> Slice:
        """Splits along one axis of the tensor what was split along another."""
        laid_out: Slice = x.to_laid_out_tensor()
        if not self._splits([mesh_axis]):
            return laid_out
        groups = self.groups([mesh_axis])
        return self._as_numbers(
            laid_out.one_slice,
            lambda x: collectives.all_to_all(
                x, groups, split_axis, concat_axis, self._channel()
            ),
        )

    def receive(
        self, x: Any, mesh_axis: int, source_pcoord: Sequence[int | None]
    ) -> Slice:
        """Takes the slice of another processor along an axis; zeros where of none."""
        pairs = []
        for processor in range(self.size):
            coordinates = mtf.pnum_to_processor_coordinates(self.shape, processor)
            source = source_pcoord[coordinates[mesh_axis]]
            if source is not None:
                coordinates[mesh_axis] = source
                sender = mtf.processor_coordinates_to_pnum(self.shape, coordinates)
                pairs.append((sender, processor))
        tensor = x.to_laid_out_tensor().one_slice
        if not pairs:
            return Slice([tf.zeros_like(tensor)])
        if all(sender == processor for sender, processor in pairs):
            if len(pairs) == self.size:
                return Slice([tensor])
        return self._as_numbers(
            tensor,
            lambda x: collectives.collective_permute(x, pairs, self._channel()),
        )

    def slicewise(self, fn: Callable[..., Any], *inputs: Any) -> Any:
        """Applies a function to the processor's slices."""
        inputs = mtf.convert_args_to_laid_out_tensors(inputs)
        result = fn(*[x.one_slice if isinstance(x, Slice) else x for x in inputs])
        if isinstance(result, tuple):
            return tuple(Slice([part]) for part in result)
        return Slice([result])

    def slice(self, tf_tensor: tf.Tensor, tensor_shape: mtf.Shape) -> Slice:
        """Cuts the processor's slice out of a tensor that every processor has."""
        if not any(
            self._splits([axis])
            for axis in self.tensor_layout(tensor_shape).tensor_axis_to_mesh_axis
            if axis is not None
        ):
            return Slice([tf_tensor])
        begins = [self.slice_begin(tensor_shape, p) for p in range(self.size)]
        begin = tf.gather(tf.constant(begins, tf.int32), self._processor)
        return Slice([tf.slice(tf_tensor, begin, self.slice_shape(tensor_shape))])

    def import_tf_tensor(self, x: mtf.Tensor, tf_x: tf.Tensor) -> Slice:
        """Lays out a tensor that every processor has."""
        return self.slice(tf_x, x.shape)

    def export_to_tf_tensor(self, x: mtf.Tensor, laid_out_x: Any) -> tf.Tensor:
        """Returns the whole tensor, the same on every processor."""
        layout = self.tensor_layout(x.shape).tensor_axis_to_mesh_axis
        for axis, mesh_axis in enumerate(layout):
            if mesh_axis is not None:
                laid_out_x = self.allconcat(laid_out_x, mesh_axis, axis)
        return laid_out_x.to_laid_out_tensor().one_slice

    def einsum(self, equation: str, *slices: tf.Tensor) -> tf.Tensor:
        """Einstein summation of one processor's slices."""
        if len(slices) == 2:
            return product(equation, *slices)
        return tf.einsum(equation, *slices)

    def _orders(self, tensor: tf.Tensor, groups: Sequence[Sequence[int]]) -> bool:
        """Whether a sum must be made in order: of two numbers it always is."""
        return self._ordered_sums and tensor.dtype.is_floating and len(groups[0]) > 2

    def _splits(self, mesh_axes: Sequence[int]) -> bool:
        """Whether there is more than one processor along some axes."""
        return any(self.shape[axis].size > 1 for axis in mesh_axes)

    def _as_numbers(
        self, tensor: tf.Tensor, move: Callable[[tf.Tensor], tf.Tensor]
    ) -> Slice:
        """Moves a tensor between processors; truth values travel as bytes."""
        if tensor.dtype != tf.bool:
            return Slice([move(tensor)])
        return Slice([tf.cast(move(tf.cast(tensor, tf.uint8)), tf.bool)])
