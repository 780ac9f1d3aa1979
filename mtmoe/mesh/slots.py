"""Which token sits in which of the experts' slots, and the reverse.

A token that chose an expert sits in one of the `capacity` slots of that expert, so
tokens and slots are a partial permutation of each other. Both it and its inverse are
kept, so that `dispatch` never has to scatter. Where experts choose their tokens, one
token may sit in any number of slots, and only the tokens of the slots are known.

There are two ways to the same assignment. For gather: two sorts of each group's
tokens, whatever the number of experts. For one-hot einsums, on devices that are poor at
sorting: cumulative sums over [tokens, experts], as in Mesh TensorFlow.

Shape suffixes: G groups, T tokens of a group, K choices of a token, A = K * T
assignments (all first choices, then all second choices), E experts, C capacity,
S = E * C slots. One group of T = 5 tokens, K = 1, E = 2, C = 2:

    expert of token   [0, 1, 0, 0, 1]     token 3 is the third that wants expert 0
    slot of token     [0, 2, 1, 4, 3]     expert * C + rank; S = 4: none
    token of slot     [[0, 2], [1, 4]]    the inverse; T = 5 would be an empty slot
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import tensorflow as tf

from mtmoe.errors import UnknownNameError
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.groupwise import groupwise

DispatchMethod = Literal["gather", "einsum"]
DISPATCH_METHODS = ("gather", "einsum")


@dataclasses.dataclass(frozen=True)
class SlotAssignment:
    """Which token sits in which slot, and the reverse.

    Attributes:
      slot_of_token: int32 [group dims, token], or [group dims, choice, token]: slot
        `expert * capacity + position` of the token; experts * capacity if it has none.
        None where experts chose: a token may then have any number of slots.
      token_of_slot: int32 [group dims, experts, capacity]: the token in the slot, or
        `choice * tokens + token`; choices * tokens if the slot is empty.
      token_dim: the tokens of one group.
      experts_dim: the experts.
      capacity_dim: the slots of one expert for one group.
      choice_dim: the choices of one token, None if it has one.
    """

    slot_of_token: mtf.Tensor | None
    token_of_slot: mtf.Tensor
    token_dim: mtf.Dimension
    experts_dim: mtf.Dimension
    capacity_dim: mtf.Dimension
    choice_dim: mtf.Dimension | None = None

    @property
    def has_slot(self) -> mtf.Tensor:
        """Whether a token was given a slot.

        bool, of the shape of `slot_of_token`; where experts chose, [group dims, token],
        whether any of them took the token.
        """
        if self.slot_of_token is not None:
            return mtf.less(self.slot_of_token, self.num_slots)
        return _is_in_a_slot(self)

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

    @property
    def weights_shape(self) -> mtf.Shape:
        """The shape of what weighs the experts' outputs."""
        if self.slot_of_token is not None:
            return self.slot_of_token.shape
        return self.token_of_slot.shape


def check_method(method: str) -> None:
    """Refuses a method of dispatch that there is not.

    Raises:
      UnknownNameError: neither "gather" nor "einsum".
    """
    if method not in DISPATCH_METHODS:
        raise UnknownNameError("dispatch method", method, DISPATCH_METHODS)


def assign_slots(
    expert_index: mtf.Tensor,
    token_dim: mtf.Dimension,
    experts_dim: mtf.Dimension,
    capacity_dim: mtf.Dimension,
    choice_dim: mtf.Dimension | None = None,
    keep_mask: mtf.Tensor | None = None,
    priority: mtf.Tensor | None = None,
    method: DispatchMethod = "gather",
) -> SlotAssignment:
    """Gives every token a slot of the expert it chose, while there are any.

    Slots are given out in the order of the tokens, as in Switch Transformer (Fedus et
    al. 2022, section 2.2), or to those of the largest `priority` first, as in
    batch-prioritised routing (Riquelme et al. 2021, section 4.1). With several choices
    a token, all first choices come before all second choices in either case, as in
    GShard (Lepikhin et al. 2021, algorithm 1).

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
      priority: float of the shape of `expert_index`; of equal ones the earlier token
        comes first. What it is where `keep_mask` is zero does not matter. By default
        position alone counts.
      method: "gather" sorts, "einsum" sums; the result is the same.

    Returns:
      The assignment; only its group dims may be split over the mesh.

    Raises:
      ValueError: the dimensions are not in the order above.
      UnknownNameError: there is no such method.
    """
    check_method(method)
    assignment_dims = [choice_dim, token_dim] if choice_dim else [token_dim]
    group_dims = expert_index.shape.dims[: -len(assignment_dims)]
    if expert_index.shape.dims != group_dims + assignment_dims:
        raise ValueError(
            f"expert_index {expert_index.shape} must end with the dimensions "
            f"{mtf.Shape(assignment_dims)}"
        )
    optional = {"keep_mask": keep_mask, "priority": priority}
    given = {name: x for name, x in optional.items() if x is not None}
    for name, x in given.items():
        if x.shape != expert_index.shape:
            raise ValueError(
                f"{name} {x.shape} must have the shape of expert_index "
                f"{expert_index.shape}"
            )
    experts, capacity, tokens = experts_dim.size, capacity_dim.size, token_dim.size
    num_assignments = mtf.Shape(assignment_dims).size
    in_groups = _assign_by_sorting if method == "gather" else _assign_by_sums

    def assign(expert: tf.Tensor, *rest: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        shape = expert.shape.as_list()
        arguments = dict(zip(given, rest, strict=True))
        keep, priority = arguments.get("keep_mask"), arguments.get("priority")
        if keep is not None:
            keep = tf.cast(keep, tf.bool)
            expert = tf.where(keep, expert, experts)
            if priority is not None:
                # What stands in padding may not be a number, which no sort survives.
                priority = tf.where(keep, priority, tf.zeros([], priority.dtype))
        if priority is not None:
            priority = tf.reshape(priority, [-1, num_assignments // tokens, tokens])
        expert_GA = tf.reshape(expert, [-1, num_assignments])
        slot_GA, token_GS = in_groups(expert_GA, experts, capacity, priority)
        group_sizes = shape[: len(group_dims)]
        return (
            tf.reshape(slot_GA, shape),
            tf.reshape(token_GS, [*group_sizes, experts, capacity]),
        )

    slots_shape = mtf.Shape([*group_dims, experts_dim, capacity_dim])
    slot_of_token, token_of_slot = groupwise(
        assign,
        [expert_index, *given.values()],
        [(expert_index.shape, tf.int32), (slots_shape, tf.int32)],
        splittable_dims=group_dims,
        name="assign_slots",
    )
    return SlotAssignment(
        slot_of_token, token_of_slot, token_dim, experts_dim, capacity_dim, choice_dim
    )


def slots_of_chosen_tokens(
    token_of_slot: mtf.Tensor, token_dim: mtf.Dimension
) -> SlotAssignment:
    """Wraps the tokens that experts chose for their slots (expert choice).

    `token_of_slot` is int32 [group dims, experts, capacity]: the token in the slot; the
    number of tokens if it is empty. A token may be in slots of several experts.
    """
    experts, capacity = token_of_slot.shape.dims[-2:]
    return SlotAssignment(None, token_of_slot, token_dim, experts, capacity)


def _is_in_a_slot(slots: SlotAssignment) -> mtf.Tensor:
    """Bool [group dims, token]: whether any slot holds the token."""
    group_dims, tokens = slots.group_dims, slots.token_dim.size

    def is_in(token_of_slot: tf.Tensor) -> tf.Tensor:
        group_sizes = token_of_slot.shape.as_list()[:-2]
        token_GS = tf.reshape(token_of_slot, [-1, slots.num_slots])
        row_GT = tf.range(token_GS.shape[0])[:, tf.newaxis] * tokens
        # Negative rows are ignored by the segment sum.
        row_GS = tf.where(token_GS < tokens, row_GT + token_GS, -1)
        counts = tf.math.unsorted_segment_sum(
            tf.ones_like(row_GS), row_GS, token_GS.shape[0] * tokens
        )
        return tf.reshape(counts > 0, [*group_sizes, tokens])

    shape = mtf.Shape([*group_dims, slots.token_dim])
    return groupwise(
        is_in, [slots.token_of_slot], [(shape, tf.bool)], group_dims, "is_in_a_slot"
    )[0]


def _assign_by_sorting(
    expert_GA: tf.Tensor,
    experts: int,
    capacity: int,
    priority_GKT: tf.Tensor | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Slots by two sorts, without scatter and without a tensor [tokens, experts].

    Args:
      expert_GA: int32 in [0, experts]; `experts` stands for no expert.
      experts: number of experts.
      capacity: slots of an expert.
      priority_GKT: who comes first, if not by position; finite.

    Returns:
      slot_GA in [0, experts * capacity] and assignment_GS in [0, A].
    """
    num_groups, num_assignments = expert_GA.shape
    num_slots = experts * capacity
    if priority_GKT is not None:
        order_GA = _order_by_priority(priority_GKT)
        expert_GA = tf.gather(expert_GA, order_GA, batch_dims=1)
    # Sorted by expert, and by position within one: the key expert * A + position holds
    # both, so that the sort is stable on every device, and its payload needs no gather.
    key_type = _integer_type((experts + 1) * num_assignments)
    position_A = tf.range(num_assignments, dtype=key_type)
    key_GA = tf.sort(tf.cast(expert_GA, key_type) * num_assignments + position_A)
    sorted_expert_GA = tf.cast(key_GA // num_assignments, tf.int32)
    assignment_GA = tf.cast(key_GA % num_assignments, tf.int32)
    if priority_GKT is not None:
        assignment_GA = tf.gather(order_GA, assignment_GA, batch_dims=1)

    # Where each expert's tokens begin in the sorted order, and where the last's end:
    # [G, E + 1].
    boundary_E = tf.range(experts + 1, dtype=key_type) * num_assignments
    start_GE = tf.searchsorted(key_GA, tf.tile(boundary_E[tf.newaxis], [num_groups, 1]))

    # How many assignments to the same expert come before: the place less the start.
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

    # The inverse: slot c of expert e holds the c-th assignment from the expert's start,
    # if that is still the expert's. [G, E, C] -> [G, S].
    place_GEC = start_GE[:, :-1, tf.newaxis] + tf.range(capacity)
    is_filled_GS = tf.reshape(
        place_GEC < start_GE[:, 1:, tf.newaxis], [num_groups, num_slots]
    )
    place_GS = tf.reshape(place_GEC, [num_groups, num_slots])
    assignment_GS = tf.gather(
        assignment_GA, tf.where(is_filled_GS, place_GS, 0), batch_dims=1
    )
    return slot_GA, tf.where(is_filled_GS, assignment_GS, num_assignments)


def _order_by_priority(priority_GKT: tf.Tensor) -> tf.Tensor:
    """Assignments [G, A] by choice, then by falling priority, then by position."""
    num_groups, num_choices, num_tokens = priority_GKT.shape
    # Of equal values the one of the lower index comes first.
    _, token_GKT = tf.math.top_k(priority_GKT, num_tokens)
    choice_K = tf.range(num_choices)[:, tf.newaxis] * num_tokens
    return tf.reshape(token_GKT + choice_K, [num_groups, -1])


def _integer_type(limit: int) -> tf.DType:
    """The narrowest of int32 and int64 that holds every number below `limit`."""
    return tf.int32 if limit <= tf.int32.max else tf.int64


def _assign_by_sums(
    expert_GA: tf.Tensor,
    experts: int,
    capacity: int,
    priority_GKT: tf.Tensor | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Slots by sums over one-hot tensors alone: no sort, no gather, no scatter.

    Arguments and results are those of `_assign_by_sorting`. By position the work is in
    proportion to A * E, by priority to A * T.
    """
    num_assignments = expert_GA.shape[1]
    num_slots = experts * capacity
    # [G, A, E]; assignments to no expert are nowhere.
    chosen_GAE = tf.one_hot(expert_GA, experts, dtype=tf.int32)
    if priority_GKT is None:
        before_GAE = tf.cumsum(chosen_GAE, axis=1, exclusive=True)
        rank_GA = tf.reduce_sum(before_GAE * chosen_GAE, axis=-1)
    else:
        rank_GA = _rank_by_priority(expert_GA, chosen_GAE, priority_GKT)
    fits_GA = (rank_GA < capacity) & (expert_GA < experts)
    slot_GA = tf.where(fits_GA, expert_GA * capacity + rank_GA, num_slots)

    # Each slot has one assignment at most: its number + 1 is a sum with one term.
    is_there = tf.equal(slot_GA[:, :, tf.newaxis], tf.range(num_slots))
    number_A = tf.range(1, num_assignments + 1)[:, tf.newaxis]
    number_GS = tf.reduce_sum(tf.where(is_there, number_A, 0), axis=1)
    return slot_GA, tf.where(number_GS > 0, number_GS - 1, num_assignments)


def _rank_by_priority(
    expert_GA: tf.Tensor, chosen_GAE: tf.Tensor, priority_GKT: tf.Tensor
) -> tf.Tensor:
    """How many assignments to the same expert come before each one [G, A]."""
    num_groups, num_choices, num_tokens = priority_GKT.shape
    experts = chosen_GAE.shape[-1]
    expert_GKT = tf.reshape(expert_GA, [num_groups, num_choices, num_tokens])
    # Every token against every other: [G, K, T, 1] and [G, K, 1, T].
    mine, theirs = priority_GKT[..., tf.newaxis], priority_GKT[..., tf.newaxis, :]
    position_T = tf.range(num_tokens)
    is_earlier = position_T[tf.newaxis, :] < position_T[:, tf.newaxis]
    comes_first = (theirs > mine) | ((theirs == mine) & is_earlier)
    is_rival = expert_GKT[..., tf.newaxis] == expert_GKT[..., tf.newaxis, :]
    rank_GKT = tf.reduce_sum(tf.cast(comes_first & is_rival, tf.int32), axis=-1)
    if num_choices > 1:
        # All that earlier choices asked of the expert comes before, whoever's it is.
        shape = [num_groups, num_choices, num_tokens, experts]
        chosen_GKTE = tf.reshape(chosen_GAE, shape)
        load_GKE = tf.reduce_sum(chosen_GKTE, axis=2)
        before_GKE = tf.cumsum(load_GKE, axis=1, exclusive=True)
        rank_GKT += tf.reduce_sum(chosen_GKTE * before_GKE[:, :, tf.newaxis], axis=-1)
    return tf.reshape(rank_GKT, [num_groups, -1])
