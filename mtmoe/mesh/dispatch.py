"""Moving tokens into the slots of experts and back, by gather in both directions.

A token that chose an expert sits in one of the `capacity` slots of that expert, so
tokens and slots are a partial permutation of each other. With the permutation and its
inverse both at hand, every movement is a gather: tokens to slots, slots to tokens, and
the gradients of both, which would otherwise be scatter-adds. The alternative, einsums
with one-hot tensors [tokens, experts, capacity], costs floating-point operations in
proportion to the size of a group; a gather only copies rows.

Shape suffixes: G groups, T tokens of a group, K choices of a token, A = K * T
assignments (all first choices, then all second choices), E experts, C capacity,
S = E * C slots, R rows, I indices, F features.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import tensorflow as tf

from mtmoe.errors import LayoutError
from mtmoe.mesh.compat import mtf


@dataclasses.dataclass(frozen=True)
class SlotAssignment:
    """Which token sits in which slot, and the reverse.

    Attributes:
      slot_of_token: int32 [group dims, token], or [group dims, choice, token]: slot
        `expert * capacity + position` of the token; experts * capacity if it has none.
      token_of_slot: int32 [group dims, experts, capacity]: the token in the slot, or
        `choice * tokens + token`; choices * tokens if the slot is empty.
      token_dim: the tokens of one group.
      experts_dim: the experts.
      capacity_dim: the slots of one expert for one group.
      choice_dim: the choices of one token, None if it has one.
    """

    slot_of_token: mtf.Tensor
    token_of_slot: mtf.Tensor
    token_dim: mtf.Dimension
    experts_dim: mtf.Dimension
    capacity_dim: mtf.Dimension
    choice_dim: mtf.Dimension | None = None

    @property
    def has_slot(self) -> mtf.Tensor:
        """Whether a token was given a slot: bool, of the shape of `slot_of_token`."""
        return mtf.less(self.slot_of_token, self.num_slots)

    @property
    def num_slots(self) -> int:
        """Slots of one group, of all experts together."""
        return self.experts_dim.size * self.capacity_dim.size

    @property
    def num_assignments(self) -> int:
        """Choices of all tokens of one group together."""
        return self.token_dim.size * (self.choice_dim.size if self.choice_dim else 1)

    @property
    def group_dims(self) -> list[mtf.Dimension]:
        """The dimensions that number the groups."""
        return self.token_of_slot.shape.dims[:-2]


def assign_slots(
    expert_index: mtf.Tensor,
    token_dim: mtf.Dimension,
    experts_dim: mtf.Dimension,
    capacity_dim: mtf.Dimension,
    choice_dim: mtf.Dimension | None = None,
    keep_mask: mtf.Tensor | None = None,
) -> SlotAssignment:
    """Gives every token a slot of the expert it chose, while there are any.

    Slots are given out in the order of the tokens, as in Switch Transformer (Fedus et
    al. 2022, section 2.2); with several choices a token, all first choices come before
    all second choices, as in GShard (Lepikhin et al. 2021, algorithm 1).

    The work is two sorts of each group's tokens, whatever the number of experts.

    Args:
      expert_index: int32 [group dims, token], or [group dims, choice, token]: the
        expert chosen. The group dims are whatever comes first; each group has its own
        slots.
      token_dim: the tokens of one group.
      experts_dim: the experts.
      capacity_dim: the slots of one expert for one group.
      choice_dim: the choices of one token, None if it has one.
      keep_mask: of the shape of `expert_index`, zero or false for tokens that get no
        slot and take none away (padding). By default every token wants one.

    Returns:
      The assignment; only its group dims may be split over the mesh.

    Raises:
      ValueError: the dimensions are not in the order above.
    """
    assignment_dims = [choice_dim, token_dim] if choice_dim else [token_dim]
    group_dims = expert_index.shape.dims[: -len(assignment_dims)]
    if expert_index.shape.dims != group_dims + assignment_dims:
        raise ValueError(
            f"expert_index {expert_index.shape} must end with the dimensions "
            f"{mtf.Shape(assignment_dims)}"
        )
    inputs = [expert_index]
    if keep_mask is not None:
        if keep_mask.shape != expert_index.shape:
            raise ValueError(
                f"keep_mask {keep_mask.shape} must have the shape of expert_index "
                f"{expert_index.shape}"
            )
        inputs.append(keep_mask)
    experts, capacity = experts_dim.size, capacity_dim.size
    num_assignments = mtf.Shape(assignment_dims).size

    def assign(
        expert_index: tf.Tensor, keep_mask: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        if keep_mask is not None:
            keep_mask = tf.cast(keep_mask, tf.bool)
            expert_index = tf.where(keep_mask, expert_index, experts)
        expert_GA = tf.reshape(expert_index, [-1, num_assignments])
        slot_GA, token_GS = _assign_by_sorting(expert_GA, experts, capacity)
        group_sizes = expert_index.shape.as_list()[: len(group_dims)]
        return (
            tf.reshape(slot_GA, expert_index.shape),
            tf.reshape(token_GS, [*group_sizes, experts, capacity]),
        )

    slot_of_token, token_of_slot = _GroupwiseOperation(
        assign,
        inputs,
        [expert_index.shape, mtf.Shape([*group_dims, experts_dim, capacity_dim])],
        [tf.int32, tf.int32],
        splittable_dims=group_dims,
        name="assign_slots",
    ).outputs
    return SlotAssignment(
        slot_of_token, token_of_slot, token_dim, experts_dim, capacity_dim, choice_dim
    )


def dispatch(x: mtf.Tensor, slots: SlotAssignment) -> mtf.Tensor:
    """Copies every token to its slot, or to each of its slots.

    Args:
      x: [group dims, token, features], features being any number of dimensions.
      slots: the assignment, of the same group dims and tokens.

    Returns:
      [group dims, experts, capacity, features], of the dtype of `x`; empty slots are
      exactly zero. Group and feature dimensions may be split over the mesh.

    Raises:
      ValueError: the dimensions of `x` are not in the order above.
    """
    features = _feature_dims("x", x, slots, [slots.token_dim])

    def gradient(operation: mtf.Operation, grad: mtf.Tensor) -> list[mtf.Tensor | None]:
        del operation
        grad_x = _take_rows(grad, slots.slot_of_token, slots.num_slots, features)
        if slots.choice_dim:
            grad_x = mtf.reduce_sum(grad_x, reduced_dim=slots.choice_dim)
        return [grad_x, None]

    return _take_rows(x, slots.token_of_slot, slots.num_assignments, features, gradient)


def combine(y: mtf.Tensor, slots: SlotAssignment) -> mtf.Tensor:
    """Copies what is in a token's slot back to the token.

    Args:
      y: [group dims, experts, capacity, features], as `dispatch` returns it.
      slots: the assignment.

    Returns:
      [group dims, token, features], or [group dims, choice, token, features] for the
      caller to weigh and add up; tokens without a slot are exactly zero. Group and
      feature dimensions may be split over the mesh.

    Raises:
      ValueError: the dimensions of `y` are not in the order above.
    """
    features = _feature_dims("y", y, slots, [slots.experts_dim, slots.capacity_dim])

    def gradient(operation: mtf.Operation, grad: mtf.Tensor) -> list[mtf.Tensor | None]:
        del operation
        grad_y = _take_rows(grad, slots.token_of_slot, slots.num_assignments, features)
        return [grad_y, None]

    return _take_rows(y, slots.slot_of_token, slots.num_slots, features, gradient)


def _feature_dims(
    name: str, x: mtf.Tensor, slots: SlotAssignment, row_dims: list[mtf.Dimension]
) -> list[mtf.Dimension]:
    """The dimensions of `x` after the group dims and `row_dims`, which come first."""
    leading = slots.group_dims + row_dims
    if x.shape.dims[: len(leading)] != leading:
        raise ValueError(
            f"{name} {x.shape} must begin with the dimensions {mtf.Shape(leading)}"
        )
    return x.shape.dims[len(leading) :]


def _take_rows(
    x: mtf.Tensor,
    index: mtf.Tensor,
    limit: int,
    features: list[mtf.Dimension],
    gradient: Callable[..., list[mtf.Tensor | None]] | int = 0,
) -> mtf.Tensor:
    """Rows of `x` by `index`; zeros where the index is `limit`, the mark of none.

    Args:
      x: [group dims, any row dims, features]; rows are counted over all row dims. With
        fewer rows than `limit`, indices are taken modulo their number: the choices of
        one token share its row.
      index: int32 [group dims, any dims], each in [0, limit].
      limit: the index that stands for no row.
      features: the last dimensions of `x`.
      gradient: as `grad_function` of `mtf.slicewise`; 0 for none.
    """
    output_shape = mtf.Shape(index.shape.dims + features)
    num_features = len(features)
    row_dims = [dim for dim in x.shape.dims if dim not in output_shape.dims]
    num_rows = mtf.Shape(row_dims).size

    def take(x: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
        sizes = x.shape.as_list()
        feature_sizes = sizes[len(sizes) - num_features :]
        x_GRF = tf.reshape(x, [-1, num_rows, math.prod(feature_sizes)])
        index_GI = tf.reshape(index, [x_GRF.shape[0], -1])
        is_row_GI = index_GI < limit
        row_GI = tf.where(is_row_GI, index_GI, 0)
        if num_rows != limit:
            row_GI %= num_rows
        rows_GIF = tf.gather(x_GRF, row_GI, batch_dims=1)
        # A selection, not a product: what is not finite must not reach empty slots.
        rows_GIF = tf.where(is_row_GI[..., tf.newaxis], rows_GIF, tf.zeros([], x.dtype))
        return tf.reshape(rows_GIF, index.shape + feature_sizes)

    operation = _GroupwiseOperation(
        take,
        [x, index],
        [output_shape],
        [x.dtype],
        splittable_dims=[dim for dim in x.shape.dims if dim in output_shape.dims],
        grad_function=gradient,
        name="take_rows",
    )
    return operation.outputs[0]


class _GroupwiseOperation(mtf.SlicewiseOperation):
    """A slicewise operation that says which dimension the layout may not split."""

    def lower(self, lowering: mtf.Lowering) -> None:
        mesh_impl = lowering.mesh_impl(self)
        for tensor in self.inputs + self.outputs:
            for dim in tensor.shape:
                axis = mesh_impl.tensor_dimension_to_mesh_axis(dim)
                if axis is not None and dim.name not in self.splittable_dims:
                    raise LayoutError(
                        f"{self.name} works on whole groups: Layout.layout_rules may "
                        f"not split {dim.name!r} (over "
                        f"{mesh_impl.shape[axis].name!r}), only "
                        f"{sorted(self.splittable_dims)}"
                    )
        super().lower(lowering)


def _assign_by_sorting(
    expert_GA: tf.Tensor, experts: int, capacity: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Slots by two sorts, without scatter and without a tensor [tokens, experts].

    Args:
      expert_GA: int32 in [0, experts]; `experts` stands for no expert.
      experts: number of experts.
      capacity: slots of an expert.

    Returns:
      slot_GA in [0, experts * capacity] and assignment_GS in [0, A].
    """
    num_groups, num_assignments = expert_GA.shape
    num_slots = experts * capacity
    # Sorted by expert, and by position within one: the key holds both.
    key_type = _integer_type((experts + 1) * num_assignments)
    position_A = tf.range(num_assignments, dtype=key_type)
    key_GA = tf.sort(tf.cast(expert_GA, key_type) * num_assignments + position_A)
    sorted_expert_GA = tf.cast(key_GA // num_assignments, tf.int32)
    assignment_GA = tf.cast(key_GA % num_assignments, tf.int32)

    # Where each expert's tokens begin in the sorted order, and where the last's end.
    boundary_E = tf.range(experts + 1, dtype=key_type) * num_assignments
    start_GE = tf.searchsorted(key_GA, tf.tile(boundary_E[tf.newaxis], [num_groups, 1]))

    rank_GA = tf.range(num_assignments) - tf.gather(
        start_GE, sorted_expert_GA, batch_dims=1
    )
    fits_GA = (rank_GA < capacity) & (sorted_expert_GA < experts)
    sorted_slot_GA = tf.where(fits_GA, sorted_expert_GA * capacity + rank_GA, num_slots)
    # Back to the order of the tokens: sorting by them undoes the first sort.
    key_type = _integer_type(num_assignments * (num_slots + 1))
    key_GA = tf.sort(
        tf.cast(assignment_GA, key_type) * (num_slots + 1)
        + tf.cast(sorted_slot_GA, key_type)
    )
    slot_GA = tf.cast(key_GA % (num_slots + 1), tf.int32)

    place_GEC = start_GE[:, :-1, tf.newaxis] + tf.range(capacity)
    is_filled_GS = tf.reshape(
        place_GEC < start_GE[:, 1:, tf.newaxis], [num_groups, num_slots]
    )
    place_GS = tf.reshape(place_GEC, [num_groups, num_slots])
    assignment_GS = tf.gather(
        assignment_GA, tf.where(is_filled_GS, place_GS, 0), batch_dims=1
    )
    return slot_GA, tf.where(is_filled_GS, assignment_GS, num_assignments)


def _integer_type(limit: int) -> tf.DType:
    """The narrowest of int32 and int64 that holds every number below `limit`."""
    return tf.int32 if limit <= tf.int32.max else tf.int64
