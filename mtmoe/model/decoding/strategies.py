"""How a token, or a sequence of them, is chosen by its probability.

Shape suffixes: B batch, V vocab.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Annotated, Any

import gin
import tensorflow as tf

from mtmoe.errors import UnknownNameError
from mtmoe.mesh.random import slice_bits, uniform_from_bits
from mtmoe.ranges import Count, Natural, Range, Share, check_fields

IMPOSSIBLE = -1e9
"""Logit, or log-likelihood, of what may not be chosen; finite, so that sums are."""

Softness = Annotated[float, Range(1e-6, 1e3)]
"""Divided by it logits stay finite, and what is impossible stays so."""

Exponent = Annotated[float, Range(0.0, 10.0)]
"""Below 0 denominators would fall, and the bound by which a search ends would not hold;
above 10 those of a thousand tokens leave float32."""


@gin.configurable
@dataclasses.dataclass(frozen=True)
class Greedy:
    """The likeliest token at each place."""


@gin.configurable
@dataclasses.dataclass(frozen=True)
class Sampling:
    """A token at random, by probabilities that are cut and sharpened in this order.

    Attributes:
      temperature: what logits are divided by; below 1 sharpens. For the likeliest
        token take `Greedy`.
      top_k: only so many of the likeliest tokens may be drawn (Fan et al. 2018); 0 for
        all. Tokens as likely as the last of them may be drawn too.
      top_p: only the fewest of the likeliest tokens that together have this probability
        may be drawn (nucleus sampling, Holtzman et al. 2020); 1 for all.

    Raises:
      ConfigError: a number is out of range.
    """

    temperature: Softness = 1.0
    top_k: Natural = 0
    top_p: Share = 1.0

    def __post_init__(self) -> None:
        """Checks the ranges."""
        check_fields(self)


@gin.configurable
@dataclasses.dataclass(frozen=True)
class BeamSearch:
    """The sequence of the best score among those that a beam finds.

    The score is log P(sequence) / ((5 + length) / 6)^length_penalty, the end mark being
    part of the sequence and of its length (Wu et al. 2016, equation 14, without the
    coverage penalty, as T5).

    Attributes:
      num_beams: unfinished sequences that are followed at a time.
      length_penalty: exponent alpha; 0 compares log-likelihoods, larger values favour
        longer sequences.

    Raises:
      ConfigError: a number is out of range.
    """

    num_beams: Count = 4
    length_penalty: Exponent = 0.6

    def __post_init__(self) -> None:
        """Checks the ranges."""
        check_fields(self)


Strategy = Greedy | Sampling | BeamSearch
"""How sequences are decoded."""

_NAMED: dict[str, Callable[..., Strategy]] = {
    "greedy": Greedy,
    "sampling": Sampling,
    "beam_search": BeamSearch,
}
STRATEGIES = tuple(_NAMED)
"""Names of the strategies."""


def named_strategy(name: str, **fields: Any) -> Strategy:
    """Makes a strategy; fields that are not given are gin's.

    Args:
      name: one of `STRATEGIES`.
      **fields: of that strategy.

    Raises:
      ConfigError: a field is out of range.
      UnknownNameError: there is no such strategy, or it has no such field.
    """
    if name not in _NAMED:
        raise UnknownNameError("strategy", name, STRATEGIES)
    strategy = _NAMED[name]
    known = [field.name for field in dataclasses.fields(strategy)]  # type: ignore[arg-type]
    for field in fields:
        if field not in known:
            raise UnknownNameError(f"field of {name}", field, known)
    return strategy(**fields)


def choose_tokens(
    strategy: Greedy | Sampling,
    logits_BV: tf.Tensor,
    example_keys_B: tf.Tensor,
    position: tf.Tensor,
    seed_key: tuple[int, int],
) -> tf.Tensor:
    """Chooses one token for each example.

    Args:
      strategy: how.
      logits_BV: float32; what may not be chosen at `IMPOSSIBLE`.
      example_keys_B: int32, what an example's noise hangs on besides seed and place.
      position: int32 scalar, number of the place.
      seed_key: two 32-bit words, from `mtmoe.mesh.random.name_key`.

    Returns:
      int32 [B].
    """
    if isinstance(strategy, Sampling):
        logits_BV = sampled_logits(logits_BV, strategy)
        logits_BV += gumbel_noise(
            seed_key, example_keys_B, position, logits_BV.shape[-1]
        )
    return tf.argmax(logits_BV, axis=-1, output_type=tf.int32)


def sampled_logits(logits_BV: tf.Tensor, sampling: Sampling) -> tf.Tensor:
    """Returns logits by whose softmax is drawn; `IMPOSSIBLE` where a token is cut off.

    Args:
      logits_BV: float32.
      sampling: temperature, top-k, then top-p of what top-k left.
    """
    logits_BV = logits_BV / sampling.temperature
    if 0 < sampling.top_k < logits_BV.shape[-1]:
        likeliest, _ = tf.math.top_k(logits_BV, sampling.top_k)
        logits_BV = _cut_below(logits_BV, likeliest[:, -1:])
    if sampling.top_p < 1.0:
        sorted_BV = tf.sort(logits_BV, axis=-1, direction="DESCENDING")
        probability_BV = tf.nn.softmax(sorted_BV)
        before_BV = tf.cumsum(probability_BV, axis=-1, exclusive=True)
        # The likeliest is kept always: nothing comes before it.
        kept_BV = tf.where(before_BV < sampling.top_p, sorted_BV, sorted_BV[:, :1])
        logits_BV = _cut_below(logits_BV, tf.reduce_min(kept_BV, -1, keepdims=True))
    return logits_BV


def gumbel_noise(
    seed_key: tuple[int, int],
    example_keys_B: tf.Tensor,
    position: tf.Tensor,
    vocab_size: int,
) -> tf.Tensor:
    """Returns noise [B, V] whose sum with logits is largest at a token drawn by them.

    The Gumbel-max trick; Maddison et al. 2014, "A* sampling", section 2. A pure
    function of seed, example key, position and token.
    """
    bits = slice_bits(seed_key, example_keys_B, [1, vocab_size], [position, 0])
    # 24 bits in [2^-25, 1 - 2^-25]: neither end, whose logarithms are infinite.
    uniform_BV = uniform_from_bits(bits[:, 0], 0.0, 1.0) + 2.0**-25
    return -tf.math.log(-tf.math.log(uniform_BV))


def _cut_below(logits_BV: tf.Tensor, lowest_B1: tf.Tensor) -> tf.Tensor:
    return tf.where(logits_BV < lowest_B1, IMPOSSIBLE, logits_BV)
