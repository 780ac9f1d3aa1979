"""An encoder alone, against numpy."""

import numpy as np
import pytest
from oracles.encoder_decoder_numpy import NumpyModel
from oracles.model_runner import random_batch, run_randomized, tiny_moe

from mtmoe.errors import ConfigError
from mtmoe.model.decoding.steps import start_decoding
from mtmoe.model.encoder_only import EncoderOnly
from mtmoe.model.features import import_padded
from mtmoe.model.forward import score
from mtmoe.model.parts import expert_layer_names
from mtmoe.model.shapes import build_graph
from mtmoe.model.sizes import count_parameters, forward_flops

WIDTHS = {"vocab_size": 32, "d_model": 16, "d_ff": 32, "num_heads": 4, "d_kv": 8}
MODEL = EncoderOnly(
    **WIDTHS,
    num_layers=2,
    normalization="layer_norm",
    positions="learned",
    max_positions=16,
    moe=tiny_moe(evaluation_factor=None),
)


def test_every_place_is_scored_given_all_inputs():
    ids = random_batch()["inputs"]

    def build(context, features):
        tokens = import_padded(context, features["ids"])
        output = score(context, MODEL, tokens, tokens)
        assert [layer.name for layer in output.routing] == ["encoder.1.moe"]
        return {"logits": output.logits}

    outputs, variables = run_randomized(build, {"ids": ids})
    wanted = NumpyModel(MODEL, variables).encoder_alone(ids)
    for row, got, expected in zip(ids, outputs["logits"], wanted, strict=True):
        np.testing.assert_allclose(got[row != 0], expected, rtol=1e-4, atol=1e-4)
    assert expert_layer_names(MODEL) == ("encoder.1.moe",)


def test_it_is_counted_and_cannot_generate():
    graph = build_graph(MODEL, batch_size=4, input_length=8)
    assert graph.num_parameters == count_parameters(MODEL).total
    assert forward_flops(MODEL, 8, 0).logits == 2 * 8 * 16 * 32
    with pytest.raises(ConfigError, match="has no decoder: target_length must be 0"):
        forward_flops(MODEL, 8, 8)

    def build(context, features):
        tokens = import_padded(context, features["ids"])
        start_decoding(context, MODEL, tokens, 4)
        return {}

    with pytest.raises(ConfigError, match="EncoderOnly has no decoder"):
        run_randomized(build, {"ids": random_batch()["inputs"]})
