"""Moving tokens into slots and back by einsums with one-hot tensors, as on TPUs.

Lepikhin et al. 2021 (GShard), algorithm 2, and `mesh_tensorflow/transformer/moe.py`:

    dispatched[e, c, :] = sum_t mask[t, e, c] x[t, :]
    combined[t, :] = sum_{e, c} mask[t, e, c] weight[t, e, c] y[e, c, :]

where mask[t, e, c] is 1 if token t sits in slot c of expert e. No row is gathered,
scattered or sorted, forward or backward.

A product with zero is not zero where the other factor is not finite. Tokens without a
slot and slots without a token are therefore set to zero before they enter an einsum and
after they leave one.

Shape suffixes: G groups, T tokens of a group, K choices of a token, S slots of a group.
"""

from __future__ import annotations

import math

import tensorflow as tf

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.groupwise import groupwise
from mtmoe.mesh.slots import SlotAssignment


def dispatch_by_einsum(
    x: mtf.Tensor, slots: SlotAssignment, features: list[mtf.Dimension]
) -> mtf.Tensor:
    """Multiplies by the mask: see `dispatch`.

    [group dims, token, features] -> [group dims, experts, capacity, features]
    """
    mask = _mask(slots, x.dtype)
    y = mtf.einsum(
        [_zero_unless(_is_routed(slots), x), mask],
        output_shape=mtf.Shape(slots.token_of_slot.shape.dims + features),
    )
    return _zero_unless(_is_filled(slots), y)


def combine_by_einsum(
    y: mtf.Tensor,
    slots: SlotAssignment,
    weights: mtf.Tensor,
    features: list[mtf.Dimension],
) -> mtf.Tensor:
    """Multiplies by the mask and the weights: see `combine`.

    [group dims, experts, capacity, features] -> [group dims, token, features]
    """
    weighted = _mask(slots, y.dtype, weights)
    x = mtf.einsum(
        [_zero_unless(_is_filled(slots), y), weighted],
        output_shape=mtf.Shape([*slots.group_dims, slots.token_dim, *features]),
    )
    return _zero_unless(_is_routed(slots), x)


def _is_filled(slots: SlotAssignment) -> mtf.Tensor:
    """Bool [group dims, experts, capacity]."""
    return mtf.less(slots.token_of_slot, slots.num_assignments)


def _is_routed(slots: SlotAssignment) -> mtf.Tensor:
    """Bool [group dims, token]."""
    if slots.choice_dim is None:
        return slots.has_slot
    has_slot = mtf.cast(slots.has_slot, tf.int32)
    return mtf.greater(mtf.reduce_max(has_slot, reduced_dim=slots.choice_dim), 0)


def _zero_unless(flag: mtf.Tensor, x: mtf.Tensor) -> mtf.Tensor:
    """`x` where its first dimensions `flag` are true, 0 elsewhere; so its gradient."""

    def select(flag: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        flag = tf.reshape(flag, flag.shape + [1] * (x.shape.rank - flag.shape.rank))
        return tf.where(flag, x, tf.zeros([], x.dtype))

    def gradient(operation: mtf.Operation, grad: mtf.Tensor) -> list[mtf.Tensor | None]:
        del operation
        return [None, _zero_unless(flag, grad)]

    return mtf.slicewise(
        select,
        [flag, x],
        output_shape=x.shape,
        output_dtype=x.dtype,
        splittable_dims=x.shape.dims,
        grad_function=gradient,
        name="zero_unless",
    )


def _mask(
    slots: SlotAssignment, dtype: tf.DType, weights: mtf.Tensor | None = None
) -> mtf.Tensor:
    """Who sits where, [group dims, token, experts, capacity], 1 or the weight.

    Weights, of `slots.weights_shape`, have a gradient.
    """
    rank = len(slots.group_dims)
    places = slots.token_of_slot
    if slots.slot_of_token is not None:
        places = slots.slot_of_token
    shape = mtf.Shape(
        [*slots.group_dims, slots.token_dim, slots.experts_dim, slots.capacity_dim]
    )

    def mask(places: tf.Tensor, *weights: tf.Tensor) -> tf.Tensor:
        is_there_GKTS = _is_there(slots, places)
        weight = tf.ones([], dtype)
        if weights:
            weight = tf.cast(_spread(slots, weights[0]), dtype)
        # A token has at most one slot with each expert: nothing is lost in the sum.
        mask_GTS = tf.reduce_sum(
            tf.where(is_there_GKTS, weight, tf.zeros([], dtype)), axis=1
        )
        return tf.reshape(mask_GTS, places.shape[:rank] + shape.to_integer_list[rank:])

    def gradient(operation: mtf.Operation, grad: mtf.Tensor) -> list[mtf.Tensor | None]:
        del operation
        return [None, _mask_gradient(slots, places, grad)]

    return groupwise(
        mask,
        [places] if weights is None else [places, weights],
        [(shape, dtype)],
        slots.group_dims,
        "dispatch_mask",
        0 if weights is None else gradient,
    )[0]


def _mask_gradient(
    slots: SlotAssignment, places: mtf.Tensor, grad: mtf.Tensor
) -> mtf.Tensor:
    """The gradient of the mask's entries that are weights, of the weights' shape."""
    token_axis = slots.slot_of_token is None

    def take(places: tf.Tensor, grad: tf.Tensor) -> tf.Tensor:
        is_there_GKTS = _is_there(slots, places)
        num_groups = is_there_GKTS.shape[0]
        grad_GTS = tf.reshape(
            tf.cast(grad, tf.float32),
            [num_groups, slots.token_dim.size, slots.num_slots],
        )
        # A choice's weight is the mask's entry at its slot alone, a slot's weight the
        # entry at its token: the gradient is picked out there by a sum with zeros.
        own_GKTS = tf.where(is_there_GKTS, grad_GTS[:, tf.newaxis], 0.0)
        return tf.reshape(
            tf.reduce_sum(own_GKTS, axis=2 if token_axis else 3), places.shape
        )

    return groupwise(
        take,
        [places, grad],
        [(places.shape, tf.float32)],
        slots.group_dims,
        "dispatch_mask_gradient",
    )[0]


def _is_there(slots: SlotAssignment, places: tf.Tensor) -> tf.Tensor:
    """Bool [G, K, T, S], from `slot_of_token`, or else from `token_of_slot`."""
    places_GKTS = _spread(slots, places)
    if slots.slot_of_token is None:
        return places_GKTS == tf.range(slots.token_dim.size)[:, tf.newaxis]
    return places_GKTS == tf.range(slots.num_slots)


def _spread(slots: SlotAssignment, x: tf.Tensor) -> tf.Tensor:
    """[G, K, T, 1] of what tokens have, [G, 1, 1, S] of what slots have."""
    num_groups = math.prod(x.shape[: len(slots.group_dims)])
    if slots.slot_of_token is None:
        return tf.reshape(x, [num_groups, 1, 1, slots.num_slots])
    return tf.reshape(x, [num_groups, -1, slots.token_dim.size, 1])
