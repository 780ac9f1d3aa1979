"""Additive masks: 0 where attention may look, a large negative number elsewhere.

Made once a stack and added to the logits of every layer, where the compiler fuses the
sum; the full [batch, heads, length, memory_length] mask never exists.
"""

from __future__ import annotations

import tensorflow as tf

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.model.features import Tokens
from mtmoe.model.sublayer import MemoryMask

MASKED = -1e9  # exp(MASKED) is 0 in float32; finite, so that no sum becomes NaN


def visible_keys(queries: Tokens, keys: Tokens) -> mtf.Tensor:
    """Says which keys a query may see: no padding and, in packed rows, its own segment.

    Args:
      queries: the tokens that look.
      keys: the tokens that are looked at; packed iff the queries are.

    Returns:
      float32, 1 if seen: [batch, memory_length], or [batch, length, memory_length] of
      packed rows, where padding sees padding alone.
    """
    if queries.segments is None or keys.segments is None:
        return mtf.rename_dimension(keys.nonpadding, "length", "memory_length")
    key_segments = mtf.rename_dimension(keys.segments, "length", "memory_length")
    shape = mtf.Shape([*queries.segments.shape.dims, key_segments.shape.dims[1]])
    same = mtf.equal(queries.segments, key_segments, output_shape=shape)
    return mtf.cast(same, tf.float32)


def hidden_keys_mask(context: GraphContext, visible: mtf.Tensor) -> mtf.Tensor:
    """Turns `visible_keys` into an addition to the logits, of the same dimensions."""
    return mtf.cast((visible - 1.0) * -MASKED, context.activation_dtype)


def sees_any_key(visible: mtf.Tensor) -> mtf.Tensor:
    """Says which queries see a key at all.

    A softmax whose logits are all masked is uniform over what must not be seen, so that
    the result of such a query has to be set to 0.

    Args:
      visible: as from `visible_keys`.

    Returns:
      float32, 1 if it does: [batch], or [batch, length] of packed rows.
    """
    return mtf.reduce_max(visible, reduced_dim=visible.shape.dims[-1])


def causal_mask(context: GraphContext, length: mtf.Dimension) -> mtf.Tensor:
    """Hides keys to the right of the query; float [length, memory_length]."""
    place = tf.range(length.size)
    hidden = tf.where(place[:, tf.newaxis] < place, MASKED, 0.0)
    memory_length = mtf.Dimension("memory_length", length.size)
    mask = context.import_tensor(hidden, [length, memory_length])
    return mtf.cast(mask, context.activation_dtype)


def causal_mask_with_prefix(context: GraphContext, prefix: mtf.Tensor) -> mtf.Tensor:
    """Hides keys to the right of the query, unless they are of the prefix.

    Prefix language model (Raffel et al. 2020, section 3.2.1); whose prefix it is, is
    the business of `visible_keys`.

    Args:
      context: graph being built.
      prefix: float32 [batch, length], 1 on what all may see.

    Returns:
      Float [batch, length, memory_length].
    """
    batch, length = prefix.shape.dims
    future = causal_mask(context, length)
    memory_length = future.shape.dims[1]
    of_keys = mtf.rename_dimension(prefix, "length", "memory_length")
    open_to_all = mtf.cast(of_keys, context.activation_dtype)
    return mtf.multiply(
        future,
        1.0 - open_to_all,
        output_shape=mtf.Shape([batch, length, memory_length]),
    )


def memory_mask(context: GraphContext, visible: mtf.Tensor) -> MemoryMask:
    """Returns the masks of cross-attention, of what `visible_keys` says."""
    seen = mtf.cast(sees_any_key(visible), context.activation_dtype)
    return MemoryMask(hidden_keys_mask(context, visible), seen)


def sum_without_batch(biases: list[mtf.Tensor]) -> tuple[mtf.Tensor, ...]:
    """Adds up what is the same for all examples, once rather than in every layer."""
    batch = [bias for bias in biases if "batch" in bias.shape.dimension_names]
    first, *others = [bias for bias in biases if bias not in batch]
    for bias in others:
        first += bias
    return (first, *batch)
