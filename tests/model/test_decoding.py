import numpy as np
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from oracles.model_runner import random_batch, tiny_model, tiny_moe

from mtmoe.mesh.program import MeshProgram
from mtmoe.model.decoding import (
    greedy_decode,
    prediction_step_builder,
    without_drops,
)

EOS = 1


def arithmetic_next(inputs, tokens):
    """A made-up model whose next token hangs on the input and all tokens before."""
    before = np.cumsum(np.pad(tokens, [(0, 0), (1, 0)])[:, :-1] * 3 + 1, axis=1)
    return ((inputs[:, :1] + before) % 13 + 1).astype(np.int32)


def one_by_one(next_tokens, inputs, max_length, eos_id):
    tokens = np.zeros([len(inputs), max_length], np.int32)
    ended = np.zeros(len(inputs), bool)
    for t in range(max_length):
        proposed = next_tokens(inputs, tokens)[:, t]
        tokens[:, t] = np.where(ended, 0, proposed)
        ended |= proposed == eos_id
    return tokens


@given(st.lists(st.integers(0, 30), min_size=1, max_size=6), st.integers(1, 12))
def test_same_as_one_token_at_a_time(starts, max_length):
    inputs = np.array(starts, np.int32)[:, np.newaxis]
    got = greedy_decode(arithmetic_next, inputs, max_length, EOS)
    want = one_by_one(arithmetic_next, inputs, max_length, EOS)
    np.testing.assert_array_equal(got, want)


def test_stops_as_soon_as_nothing_changes():
    calls = []

    def constant(inputs, tokens):
        calls.append(1)
        return np.full_like(tokens, 5)

    assert np.all(greedy_decode(constant, np.zeros([1, 3], np.int32), 40, EOS) == 5)
    assert len(calls) == 2


def test_model_decodes_greedily_whatever_its_neighbours():
    # A small capacity would drop tokens, were it used for predictions.
    model = tiny_model(
        num_encoder_layers=1,
        num_decoder_layers=1,
        expert_layer_every=1,
        moe=tiny_moe(evaluation_factor=0.1, minimum=1),
    )
    program = MeshProgram(jit_compile=False, seed=3)
    signature = {
        "inputs": tf.TensorSpec([4, 12], tf.int32),
        "targets": tf.TensorSpec([4, 6], tf.int32),
    }
    step = program.function(prediction_step_builder(model), signature, "predict")

    def next_tokens(inputs, targets):
        return step(0, inputs=inputs, targets=targets)["next_tokens"].numpy()

    inputs = random_batch()["inputs"]
    decoded = greedy_decode(next_tokens, inputs, 6, EOS)
    np.testing.assert_array_equal(decoded, one_by_one(next_tokens, inputs, 6, EOS))
    assert np.all(decoded[:, 0] != 0)
    neighbours = inputs.copy()
    neighbours[1:] = random_batch(seed=9)["inputs"][1:]
    alone = greedy_decode(next_tokens, neighbours, 6, EOS)
    np.testing.assert_array_equal(alone[0], decoded[0])


def test_dense_models_need_no_capacity():
    model = tiny_model(moe=None)
    assert without_drops(model) is model
