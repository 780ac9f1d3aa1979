"""Whole sequences in one function: encode once, then one step a token in a loop.

The loop ends when every example has ended. What an example gets depends on itself
alone: experts take every token, and noise hangs on the seed, the example's own key and
the place in its sequence.

Shape suffixes: B batch, V vocab.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from mtmoe.errors import ConfigError
from mtmoe.mesh.build import Build, Built
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.mesh.features import Features
from mtmoe.mesh.random import name_key
from mtmoe.mesh.update import write_at
from mtmoe.model.decoding.beam_search import beam_search
from mtmoe.model.decoding.prepare import (
    Decoding,
    forbid_padding,
    next_logits,
    start,
)
from mtmoe.model.decoding.strategies import (
    BeamSearch,
    Greedy,
    Sampling,
    Strategy,
    choose_tokens,
)
from mtmoe.model.parts import Model
from mtmoe.ranges import Count, check_number


def generation_builder(
    model: Model, strategy: Strategy, max_length: int, eos_id: int
) -> Build:
    """Makes the build function of a generation.

    Padding, token 0, is never generated.

    Args:
      model: the model; its evaluation capacity is not used, nothing is dropped.
      strategy: how tokens are chosen.
      max_length: most tokens of a sequence, its end mark included.
      eos_id: token that ends a sequence.

    Returns:
      A build function of the features `inputs`, int32 [B, L], padded with 0 at the end,
      and `example_keys`, int32 [B], which an example's noise hangs on; a row with a
      negative key only fills the batch up. Its outputs are `tokens`, int32 [B,
      max_length], up to and including `eos_id` and then 0, and `scores`, float32 [B]:
      the tokens' log-likelihood, of beam search divided by the length penalty.

    Raises:
      ConfigError: `max_length` is not positive, or the end mark is none of the tokens.
    """
    check_number("max_length", max_length, Count)
    if not 0 < eos_id < model.logits.vocab_size:
        raise ConfigError(
            f"eos_id must be one of the tokens 1 to {model.logits.vocab_size - 1}, got "
            f"{eos_id}"
        )

    def build(context: GraphContext, features: Features) -> Built:
        decoding = start(context, model, features, max_length, eos_id)
        if isinstance(strategy, BeamSearch):
            tokens, scores = beam_search(context, decoding, strategy)
        else:
            tokens, scores = _token_by_token(context, decoding, strategy)
        return {"tokens": tokens, "scores": scores}, []

    return build


def _token_by_token(
    context: GraphContext, decoding: Decoding, strategy: Greedy | Sampling
) -> tuple[mtf.Tensor, mtf.Tensor]:
    """Chooses one token after the other; returns `tokens` and `scores`."""
    batch, length = decoding.batch, decoding.length
    seed_key = name_key(context.seed, "decoding")

    def choose(
        logits_BV: tf.Tensor, keys_B: tf.Tensor, running_B: tf.Tensor, place: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        allowed_BV = forbid_padding(logits_BV)
        token_B = choose_tokens(strategy, allowed_BV, keys_B, place, seed_key)
        nats_B = tf.nn.sparse_softmax_cross_entropy_with_logits(token_B, logits_BV)
        token_B *= tf.cast(running_B, tf.int32)
        return token_B, -nats_B * running_B

    def step(
        position: mtf.Tensor,
        token: mtf.Tensor,
        running: mtf.Tensor,
        tokens: mtf.Tensor,
        scores: mtf.Tensor,
        *caches: mtf.Tensor,
    ) -> Sequence[mtf.Tensor]:
        logits, state = next_logits(
            context,
            decoding.model,
            token,
            running,
            decoding.state.with_tensors(caches),
            position,
        )
        chosen, log_likelihood = mtf.slicewise(
            choose,
            [logits, decoding.example_keys, running, position],
            output_shape=[mtf.Shape([batch]), mtf.Shape([batch])],
            output_dtype=[tf.int32, tf.float32],
            splittable_dims=[batch],
            grad_function=0,
            name="choose_tokens",
        )
        token = mtf.reshape(chosen, token.shape)
        is_end = mtf.cast(mtf.equal(chosen, decoding.eos_id), tf.float32)
        return [
            position + 1,
            token,
            running * (1.0 - is_end),
            write_at(tokens, token, length, position),
            scores + log_likelihood,
            *state.tensors(),
        ]

    def goes_on(
        position: mtf.Tensor, token: mtf.Tensor, running: mtf.Tensor, *_: mtf.Tensor
    ) -> mtf.Tensor:
        del token
        is_running = mtf.greater(mtf.reduce_max(running), 0.0)
        return mtf.logical_and(mtf.less(position, decoding.max_length), is_running)

    rows = mtf.Shape([batch])
    outputs = mtf.while_loop(
        goes_on,
        step,
        [
            mtf.zeros(context.mesh, mtf.Shape([]), tf.int32),
            decoding.first_token,
            1.0 - decoding.is_filler,
            mtf.zeros(context.mesh, rows + length, tf.int32),
            mtf.zeros(context.mesh, rows, tf.float32),
            *decoding.state.tensors(),
        ],
    )
    return outputs[3], outputs[4]
