"""Greedy decoding.

Each pass runs the whole decoder over all positions and so proposes a token for every
position at once, given the tokens proposed by the pass before. Position t is final once
all positions before it are, hence after at most t + 1 passes; a pass that changes
nothing has found the greedy sequence, usually long before (Song et al. 2021,
"Accelerating feedforward computation via parallel nonlinear equation solving": Jacobi
iteration).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.mesh.program import Build, Built, Features
from mtmoe.model.encoder_decoder import EncoderDecoder
from mtmoe.model.features import Tokens, import_features, shift_right

NextTokens = Callable[[NDArray[np.int32], NDArray[np.int32]], NDArray[np.int32]]


def greedy_decode(
    next_tokens: NextTokens,
    inputs: NDArray[np.int32],
    max_length: int,
    eos_id: int,
) -> NDArray[np.int32]:
    """Returns the likeliest token after the likeliest tokens before it, to the end.

    Args:
      next_tokens: maps inputs [batch, length] and a sequence [batch, max_length] to the
        likeliest token of every position given the inputs and the sequence before it.
      inputs: int32 [batch, length].
      max_length: longest sequence.
      eos_id: token that ends a sequence.

    Returns:
      int32 [batch, max_length]: tokens up to and including `eos_id`, then 0.
    """
    tokens = np.zeros([inputs.shape[0], max_length], np.int32)
    for _ in range(max_length):
        proposed = _cut_after(np.asarray(next_tokens(inputs, tokens)), eos_id)
        if np.array_equal(proposed, tokens):
            break
        tokens = proposed
    return tokens


def _cut_after(tokens: NDArray[np.int32], eos_id: int) -> NDArray[np.int32]:
    """Zeroes what follows the first `eos_id` of each row."""
    ended = np.cumsum(tokens == eos_id, axis=1) - (tokens == eos_id)
    return np.where(ended > 0, 0, tokens).astype(np.int32)


def prediction_step_builder(model: EncoderDecoder) -> Build:
    """Makes the build function behind `next_tokens`.

    No token is dropped by an expert here: capacity is that of a whole group, so that an
    example's result does not depend on its neighbours in the batch.

    Args:
      model: the model; its evaluation capacity is not used.

    Returns:
      A build function of the features `inputs` and `targets`, int32 [batch, length],
      with one output, `next_tokens`, int32 of the shape of `targets`: the likeliest
      token but padding at each position, given the inputs and the targets before it.
    """
    model = without_drops(model)

    def build(context: GraphContext, features: Features) -> Built:
        inputs, targets = import_features(context, features)
        memory, _ = model.encode(context, inputs)
        # Which positions will hold a token is not known yet: score them all.
        everywhere = mtf.ones(context.mesh, targets.ids.shape, tf.float32)
        decoder = Tokens(shift_right(targets), everywhere)
        logits, _ = model.decode(context, memory, decoder)
        vocab = logits.shape.dims[-1]
        padding = mtf.one_hot(
            mtf.constant(context.mesh, 0, mtf.Shape([]), tf.int32),
            vocab,
            on_value=-1e9,
            dtype=tf.float32,
        )
        return {"next_tokens": mtf.argmax(logits + padding, vocab)}, []

    return build


def without_drops(model: EncoderDecoder) -> EncoderDecoder:
    """Returns `model` with room for every token in every expert outside training."""
    if model.moe is None:
        return model
    capacity = dataclasses.replace(model.moe.capacity, evaluation_factor=None)
    moe = dataclasses.replace(model.moe, capacity=capacity)
    return dataclasses.replace(model, moe=moe)
