"""Moving tokens into the slots of experts and back.

Two methods give the same numbers:

* "gather" copies rows. Tokens and slots are a partial permutation of each other, and
  with the permutation and its inverse both at hand every movement is a gather: tokens
  to slots, slots to tokens, and the gradients of both, which would otherwise be
  scatter-adds. Only where experts chose their tokens, and a token may have any number
  of slots, are rows added up by segment sum on the way back.
* "einsum" (`one_hot_dispatch.py`) multiplies by one-hot tensors [tokens, experts,
  capacity], at a cost in floating-point operations in proportion to the size of a
  group; matrix units are good at it and poor at gathers.

Shape suffixes: G groups, T tokens of a group, K choices of a token, A = K * T
assignments, S = experts * capacity slots of a group, R rows, I indices, F features:

    x [group dims, token, features]             -> [G, T, F]
    rows of token_of_slot [G, S]                -> [G, S, F]    dispatch
    y [group dims, experts, capacity, features] -> [G, S, F]
    rows of slot_of_token [G, A], weighted      -> [G, A, F]    combine
    sum over K                                  -> [G, T, F]
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.groupwise import groupwise
from mtmoe.mesh.one_hot_dispatch import combine_by_einsum, dispatch_by_einsum
from mtmoe.mesh.operation import LaidOutOperation, split_axes
from mtmoe.mesh.slots import DispatchMethod, SlotAssignment, check_method


def dispatch(
    x: mtf.Tensor, slots: SlotAssignment, method: DispatchMethod = "gather"
) -> mtf.Tensor:
    """Copies every token to its slot, or to each of its slots.

    Args:
      x: [group dims, token, features], features being any number of dimensions.
      slots: the assignment, of the same group dims and tokens.
      method: "gather" or "einsum".

    Returns:
      [group dims, experts, capacity, features], of the dtype of `x`; empty slots are
      exactly zero, whatever is in tokens without a slot. Group and feature dimensions
      may be split over the mesh.

    Raises:
      ValueError: the dimensions of `x` are not in the order above.
      UnknownNameError: there is no such method.
    """
    check_method(method)
    features = _feature_dims("x", x, slots, [slots.token_dim])
    if method == "einsum":
        return dispatch_by_einsum(x, slots, features)

    def gradient(operation: mtf.Operation, grad: mtf.Tensor) -> list[mtf.Tensor | None]:
        del operation
        if slots.slot_of_token is None:
            return [_add_rows(grad, None, slots, features), None]
        # What a token's gradient is made of lies in its slots: a gather by the inverse,
        # where the gradient of a gather would be a scatter-add.
        index, limit = slots.slot_of_token, slots.num_slots
        grad_x = _take_rows(grad, index, limit, slots, features)
        if slots.choice_dim:
            grad_x = mtf.reduce_sum(grad_x, reduced_dim=slots.choice_dim)
        return [grad_x, None]

    index, limit = slots.token_of_slot, slots.num_assignments
    return _take_rows(x, index, limit, slots, features, gradient)


def combine(
    y: mtf.Tensor,
    slots: SlotAssignment,
    weights: mtf.Tensor,
    method: DispatchMethod = "gather",
) -> mtf.Tensor:
    """Adds up what is in a token's slots, each times its weight.

    Products and sums are taken in float32 by gather, in the dtype of `y` by einsum.

    Args:
      y: [group dims, experts, capacity, features], as `dispatch` returns it.
      slots: the assignment.
      weights: float32 of `slots.weights_shape`: that of `slot_of_token`, or of
        `token_of_slot` where experts chose. Those of tokens without a slot, or of empty
        slots, are never looked at; their gradient is zero.
      method: "gather" or "einsum".

    Returns:
      [group dims, token, features], of the dtype of `y`; tokens without a slot are
      exactly zero, whatever is in empty slots. Group and feature dimensions may be
      split over the mesh.

    Raises:
      ValueError: the dimensions of `y` or `weights` are not those above.
      UnknownNameError: there is no such method.
    """
    check_method(method)
    features = _feature_dims("y", y, slots, [slots.experts_dim, slots.capacity_dim])
    if weights.shape != slots.weights_shape:
        raise ValueError(
            f"weights {weights.shape} must have the shape {slots.weights_shape}"
        )
    if method == "einsum":
        return combine_by_einsum(y, slots, weights, features)
    if slots.slot_of_token is None:
        return _add_rows(y, weights, slots, features)
    return _take_weighted_rows(y, weights, slots, features)


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
    slots: SlotAssignment,
    features: list[mtf.Dimension],
    gradient: Callable[..., list[mtf.Tensor | None]] | int = 0,
) -> mtf.Tensor:
    """Rows of `x` by `index`; zeros where the index is `limit`, the mark of none.

    Args:
      x: [group dims, any row dims, features]; rows are counted over all row dims.
      index: int32 [group dims, any dims], each in [0, limit].
      limit: the index that stands for no row.
      slots: whose group dims they are.
      features: the last dimensions of `x`.
      gradient: as `grad_function` of `mtf.slicewise`; 0 for none.
    """
    rank = len(slots.group_dims)
    shape = mtf.Shape(index.shape.dims + features)

    def take(x: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
        feature_sizes = x.shape[x.shape.rank - len(features) :]
        rows_GIF = _gather(_rows(x, rank, feature_sizes), _flat(index, rank), limit)
        return tf.reshape(rows_GIF, index.shape + feature_sizes)

    splittable = slots.group_dims + features
    return groupwise(
        take, [x, index], [(shape, x.dtype)], splittable, "take_rows", gradient
    )[0]


def _take_weighted_rows(
    y: mtf.Tensor,
    weights: mtf.Tensor,
    slots: SlotAssignment,
    features: list[mtf.Dimension],
) -> mtf.Tensor:
    """`combine` where tokens chose, one pass over the tokens."""
    rank = len(slots.group_dims)
    shape = mtf.Shape([*slots.group_dims, slots.token_dim, *features])

    def take(y: tf.Tensor, weights: tf.Tensor, slot: tf.Tensor) -> tf.Tensor:
        feature_sizes = y.shape[rank + 2 :]
        rows_GAF = _gather(
            _rows(y, rank, feature_sizes),
            _flat(slot, rank),
            slots.num_slots,
            _flat(weights, rank),
        )
        if slots.choice_dim:
            # [G, A, F] -> [G, K, T, F] -> [G, T, F], summed in float32.
            num_groups, _, width = rows_GAF.shape
            rows_GKTF = tf.reshape(
                rows_GAF, [num_groups, slots.choice_dim.size, -1, width]
            )
            rows_GAF = tf.reduce_sum(rows_GKTF, axis=1)
        rows_GAF = tf.cast(rows_GAF, y.dtype)
        return tf.reshape(
            rows_GAF, y.shape[:rank] + [slots.token_dim.size] + feature_sizes
        )

    def gradient(operation: mtf.Operation, grad: mtf.Tensor) -> list[mtf.Tensor | None]:
        del operation
        return [*_combine_gradient(grad, y, weights, slots, features), None]

    return groupwise(
        take,
        [y, weights, slots.slot_of_token],
        [(shape, y.dtype)],
        slots.group_dims + features,
        "take_weighted_rows",
        gradient,
    )[0]


def _add_rows(
    y: mtf.Tensor,
    weights: mtf.Tensor | None,
    slots: SlotAssignment,
    features: list[mtf.Dimension],
) -> mtf.Tensor:
    """Adds up the rows of all slots of a token, where experts chose.

    [group dims, experts, capacity, features] -> [group dims, token, features], times
    `weights`; without these there is no gradient either.
    """
    rank, num_tokens = len(slots.group_dims), slots.token_dim.size
    shape = mtf.Shape([*slots.group_dims, slots.token_dim, *features])

    def add(y: tf.Tensor, token: tf.Tensor, *weights: tf.Tensor) -> tf.Tensor:
        feature_sizes = y.shape[rank + 2 :]
        rows_GSF = tf.cast(_rows(y, rank, feature_sizes), tf.float32)
        if weights:
            rows_GSF *= _flat(weights[0], rank)[..., tf.newaxis]
        num_groups, _, width = rows_GSF.shape
        token_GS = _flat(token, rank)
        first_row_G = tf.range(num_groups)[:, tf.newaxis] * num_tokens
        # Rows of empty slots: the segment sum ignores negative numbers.
        row_GS = tf.where(token_GS < num_tokens, first_row_G + token_GS, -1)
        summed = tf.math.unsorted_segment_sum(
            tf.reshape(rows_GSF, [-1, width]),
            tf.reshape(row_GS, [-1]),
            num_groups * num_tokens,
        )
        sizes = y.shape[:rank] + [num_tokens] + feature_sizes
        return tf.reshape(tf.cast(summed, y.dtype), sizes)

    def gradient(operation: mtf.Operation, grad: mtf.Tensor) -> list[mtf.Tensor | None]:
        del operation
        grad_y, grad_weights = _combine_gradient(grad, y, weights, slots, features)
        return [grad_y, None, grad_weights]

    inputs = [y, slots.token_of_slot]
    return groupwise(
        add,
        inputs if weights is None else [*inputs, weights],
        [(shape, y.dtype)],
        slots.group_dims + features,
        "add_rows",
        0 if weights is None else gradient,
    )[0]


def _combine_gradient(
    grad: mtf.Tensor,
    y: mtf.Tensor,
    weights: mtf.Tensor,
    slots: SlotAssignment,
    features: list[mtf.Dimension],
) -> list[mtf.Tensor]:
    """Gradients of `combine` to `y` and `weights`.

    The gradient of `y` is the tokens' gradient [group dims, token, features], taken to
    the slots, times the weight; that of a weight is the inner product of the token's
    gradient and its slot's `y`.
    """
    rank, limit = len(slots.group_dims), slots.num_assignments

    def gradients(
        grad: tf.Tensor,
        y: tf.Tensor,
        weights: tf.Tensor,
        token: tf.Tensor,
        slot: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        feature_sizes = y.shape[rank + 2 :]
        token_GS, weights_GI = _flat(token, rank), _flat(weights, rank)
        grad_GTF, y_GSF = (_rows(x, rank, feature_sizes) for x in (grad, y))
        grad_GSF = tf.cast(_gather(grad_GTF, token_GS, limit), tf.float32)
        if slot is None:
            # Experts chose: I = S, a weight and an inner product for each slot.
            weights_GS = tf.where(token_GS < limit, weights_GI, 0.0)
            inner_GI = tf.reduce_sum(grad_GSF * tf.cast(y_GSF, tf.float32), axis=-1)
            grad_weights_GI = tf.where(token_GS < limit, inner_GI, 0.0)
        else:
            # Tokens chose: I = A, and a slot's weight is that of its assignment.
            weights_GS = _gather(weights_GI[..., tf.newaxis], token_GS, limit)[..., 0]
            grad_weights_GI = _inner_products(
                grad_GTF, y_GSF, _flat(slot, rank), slots.num_slots
            )
        grad_y = tf.cast(grad_GSF * weights_GS[..., tf.newaxis], y.dtype)
        return tf.reshape(grad_y, y.shape), tf.reshape(grad_weights_GI, weights.shape)

    def lower(mesh_impl: mtf.MeshImpl, *inputs: Any) -> Any:
        grad_y, grad_weights = mesh_impl.slicewise(gradients, *inputs)
        # An inner product over features that are split is a sum over processors.
        axes = split_axes(mesh_impl, mtf.Shape(features))
        if feature_axes := [axis for axis in axes if axis is not None]:
            grad_weights = mesh_impl.allreduce(grad_weights, feature_axes, "SUM")
        return grad_y, grad_weights

    inputs = [grad, y, weights, slots.token_of_slot]
    if slots.slot_of_token is not None:
        inputs.append(slots.slot_of_token)
    outputs = [(y.shape, y.dtype), (weights.shape, tf.float32)]
    return LaidOutOperation(lower, inputs, outputs, "combine_gradient").outputs


def _inner_products(
    grad_GTF: tf.Tensor, y_GSF: tf.Tensor, slot_GA: tf.Tensor, num_slots: int
) -> tf.Tensor:
    """Of every token and what is in its slot, or slots [G, A]; 0 without a slot."""
    y_GAF = tf.cast(_gather(y_GSF, slot_GA, num_slots), tf.float32)
    num_groups, num_tokens, width = grad_GTF.shape
    y_GKTF = tf.reshape(y_GAF, [num_groups, -1, num_tokens, width])
    grad_GKTF = tf.cast(grad_GTF, tf.float32)[:, tf.newaxis]
    inner_GA = tf.reshape(tf.reduce_sum(grad_GKTF * y_GKTF, axis=-1), slot_GA.shape)
    return tf.where(slot_GA < num_slots, inner_GA, 0.0)


def _flat(index: tf.Tensor, rank: int) -> tf.Tensor:
    """[group dims, any dims] -> [G, I], the first `rank` dimensions being groups."""
    return tf.reshape(index, [math.prod(index.shape[:rank]), -1])


def _rows(x: tf.Tensor, rank: int, feature_sizes: tf.TensorShape) -> tf.Tensor:
    """[group dims, row dims, features] -> [G, R, F]."""
    return tf.reshape(x, [math.prod(x.shape[:rank]), -1, math.prod(feature_sizes)])


def _gather(
    x_GRF: tf.Tensor,
    index_GI: tf.Tensor,
    limit: int,
    weights_GI: tf.Tensor | None = None,
) -> tf.Tensor:
    """Rows by index, times their weights in float32; zeros where the index is `limit`.

    With fewer rows than `limit`, indices are taken modulo their number: the choices of
    one token share its row.
    """
    num_rows = x_GRF.shape[1]
    is_row_GI = index_GI < limit
    row_GI = tf.where(is_row_GI, index_GI, 0)
    if num_rows != limit:
        row_GI %= num_rows
    rows_GIF = tf.gather(x_GRF, row_GI, batch_dims=1)
    if weights_GI is not None:  # rows are fetched in their own, perhaps smaller dtype
        rows_GIF = tf.cast(rows_GIF, tf.float32) * weights_GI[..., tf.newaxis]
    # A selection, not a product: what is not finite must not reach empty slots.
    return tf.where(is_row_GI[..., tf.newaxis], rows_GIF, tf.zeros([], rows_GIF.dtype))
