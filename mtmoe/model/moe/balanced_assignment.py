"""Balanced linear assignment of tokens to experts, by auction.

maximise sum_t score[t, expert(t)] where every expert has at most ceil(tokens / experts)
tokens. Bertsekas and Castanon 1989, "The auction algorithm for the transportation
problem", with experts as objects of which there are several alike: tokens without a
place bid for the expert that is worth most to them at its price, the expert keeps its
highest bidders, and its price is the lowest bid it keeps. A bid is the price at which
the token's second best expert would be as good, plus epsilon. When everybody has a
place, the sum is within epsilon a token of the best there is.

Bids begin with a large epsilon and are repeated with smaller ones from the prices so
found: with a small epsilon alone, tokens that all like the same experts outbid each
other in tiny steps.

Shape suffixes: G groups, T tokens of a group, N bidders (tokens, and stand-ins for the
places that stay empty), E experts.
"""

from __future__ import annotations

import tensorflow as tf

from mtmoe.errors import ConfigError

_SCALES = (16.0, 4.0, 1.0)
_BID_BITS = 31  # a float32 that is not negative, as an integer in the same order


def balanced_assignment(
    scores_GTE: tf.Tensor, mask_GT: tf.Tensor, epsilon: float
) -> tf.Tensor:
    """Returns an expert for every token, no more than ceil(tokens / experts) for each.

    Args:
      scores_GTE: float32; what is not finite counts as 0.
      mask_GT: float32, 1 for tokens and 0 for padding, which takes no place.
      epsilon: how far the sum may be below the best, a token (and a place that stays
        empty), in units of the range of the group's scores.

    Returns:
      int32 [G, T]; 0 for padding.

    Raises:
      ConfigError: there are too many tokens and experts for the keys that are sorted.
    """
    num_groups, num_tokens, num_experts = scores_GTE.shape
    if num_experts == 1:
        return tf.zeros([num_groups, num_tokens], tf.int32)
    # Everybody must have a place for prices to mean anything: stand-ins, to whom all
    # experts are the same, take those that stay empty, fewer than there are experts.
    num_G = tf.cast(tf.reduce_sum(mask_GT, axis=1), tf.int32)
    capacity_G = (num_G + num_experts - 1) // num_experts
    num_empty_G = capacity_G * num_experts - num_G
    is_stand_in = tf.range(num_experts - 1) < num_empty_G[:, tf.newaxis]
    bids_GN = tf.concat([mask_GT > 0, is_stand_in], axis=1)
    values_GNE = tf.concat(
        [
            _normalized(scores_GTE, mask_GT),
            tf.zeros([num_groups, num_experts - 1, num_experts]),
        ],
        axis=1,
    )
    price_GE = tf.zeros([num_groups, num_experts])
    for scale in _SCALES:
        expert_GN, price_GE = _auction(
            values_GNE, bids_GN, capacity_G, price_GE, scale * epsilon
        )
    return tf.where(mask_GT > 0, expert_GN[:, :num_tokens], 0)


def _normalized(scores_GTE: tf.Tensor, mask_GT: tf.Tensor) -> tf.Tensor:
    """Scores of each group's tokens in [0, 1], 0 for padding."""
    is_token = mask_GT[..., tf.newaxis] > 0
    scores_GTE = tf.where(tf.math.is_finite(scores_GTE), scores_GTE, 0.0)
    largest = tf.where(is_token, scores_GTE, scores_GTE.dtype.min)
    largest_G = tf.reduce_max(largest, axis=[1, 2], keepdims=True)
    smallest = tf.where(is_token, scores_GTE, scores_GTE.dtype.max)
    smallest_G = tf.reduce_min(smallest, axis=[1, 2], keepdims=True)
    range_G = tf.maximum(largest_G - smallest_G, 1e-30)
    return tf.where(is_token, (scores_GTE - smallest_G) / range_G, 0.0)


def _auction(
    values_GNE: tf.Tensor,
    bids_GN: tf.Tensor,
    capacity_G: tf.Tensor,
    price_GE: tf.Tensor,
    epsilon: float,
) -> tuple[tf.Tensor, tf.Tensor]:
    """One auction from given prices, until every bidder has a place.

    Args:
      values_GNE: in [0, 1].
      bids_GN: who wants a place; as many as there are.
      capacity_G: places of an expert.
      price_GE: what they cost.
      epsilon: by how much a bid is above the price of indifference.

    Returns:
      expert_GN, `experts` for those who want none, and the new prices.
    """
    num_groups, num_bidders, num_experts = values_GNE.shape

    def goes_on(expert_GN: tf.Tensor, *state: tf.Tensor) -> tf.Tensor:
        del state
        return tf.reduce_any(bids_GN & (expert_GN == num_experts))

    def bid(
        expert_GN: tf.Tensor, paid_GN: tf.Tensor, price_GE: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        worth_GNE = values_GNE - price_GE[:, tf.newaxis]
        best_GN = tf.argmax(worth_GNE, axis=-1, output_type=tf.int32)
        is_best = best_GN[..., tf.newaxis] == tf.range(num_experts)
        second_GN = tf.reduce_max(
            tf.where(is_best, worth_GNE.dtype.min, worth_GNE), axis=-1
        )
        value_GN = tf.reduce_sum(tf.where(is_best, values_GNE, 0.0), axis=-1)
        bidding_GN = bids_GN & (expert_GN == num_experts)
        expert_GN = tf.where(bidding_GN, best_GN, expert_GN)
        paid_GN = tf.where(bidding_GN, value_GN - second_GN + epsilon, paid_GN)
        kept_GN, price_GE = _highest_bids(expert_GN, paid_GN, capacity_G, price_GE)
        return tf.where(kept_GN, expert_GN, num_experts), paid_GN, price_GE

    nobody_GN = tf.fill([num_groups, num_bidders], num_experts)
    nothing_GN = tf.zeros([num_groups, num_bidders])
    expert_GN, _, price_GE = tf.while_loop(
        goes_on, bid, [nobody_GN, nothing_GN, price_GE]
    )
    return expert_GN, price_GE


def _highest_bids(
    expert_GN: tf.Tensor,
    paid_GN: tf.Tensor,
    capacity_G: tf.Tensor,
    price_GE: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Who keeps a place, and the lowest bid kept by each expert that is full.

    One sort of keys (expert, falling bid, bidder), in which every expert's bidders lie
    side by side, best first.

    Args:
      expert_GN: whom a bidder holds or bids for; `experts` for nobody.
      paid_GN: bids, not negative.
      capacity_G: places of an expert.
      price_GE: prices before.

    Returns:
      bool kept_GN, false for who bids for nobody, and the new prices.
    """
    num_groups, num_bidders = expert_GN.shape
    num_experts = price_GE.shape[-1]
    row_bits = num_bidders.bit_length()
    expert_shift = _BID_BITS + row_bits
    if expert_shift + num_experts.bit_length() > 63:
        raise ConfigError(
            f"{num_bidders} tokens a group and {num_experts} experts are too many to "
            "balance; lower MixtureOfExperts.group_size"
        )
    highest = 2**_BID_BITS - 1
    bits_GN = tf.cast(tf.bitcast(paid_GN, tf.int32), tf.int64)
    key_GN = (
        tf.cast(expert_GN, tf.int64) * 2**expert_shift
        + (highest - bits_GN) * 2**row_bits
        + tf.range(num_bidders, dtype=tf.int64)
    )
    sorted_GN = tf.sort(key_GN, axis=-1)
    bound_E = tf.range(num_experts + 1, dtype=tf.int64) * 2**expert_shift
    start_GE = tf.searchsorted(sorted_GN, tf.tile(bound_E[tf.newaxis], [num_groups, 1]))
    last_GE = start_GE[:, :-1] + capacity_G[:, tf.newaxis] - 1
    is_full_GE = (last_GE < start_GE[:, 1:]) & (capacity_G[:, tf.newaxis] > 0)
    last_key_GE = tf.gather(sorted_GN, tf.where(is_full_GE, last_GE, 0), batch_dims=1)
    last_key_GE = tf.where(is_full_GE, last_key_GE, bound_E[1:] - 1)
    # Below every key, for those who bid for nobody.
    last_key_GE = tf.pad(last_key_GE, [[0, 0], [0, 1]], constant_values=-1)
    kept_GN = key_GN <= tf.gather(last_key_GE, expert_GN, batch_dims=1)
    lowest_GE = highest - (last_key_GE[:, :-1] // 2**row_bits) % 2**_BID_BITS
    lowest_GE = tf.bitcast(tf.cast(lowest_GE, tf.int32), tf.float32)
    return kept_GN, tf.where(is_full_GE, lowest_GE, price_GE)
