"""What a model may be made of, in whole sequences, step by step and on meshes.

Every comparison sets all variables to random values: biases and scales begin at 0 and
1, where a mistake would not show.
"""

import dataclasses

import numpy as np
import pytest
from oracles.encoder_decoder_numpy import NumpyModel
from oracles.model_runner import (
    by_steps,
    layout_program,
    random_batch,
    run_randomized,
    tiny_model,
    tiny_moe,
)

from mtmoe.errors import ConfigError, UnknownNameError
from mtmoe.mesh.compat import mtf
from mtmoe.model.decoder_only import DecoderOnly
from mtmoe.model.features import import_features
from mtmoe.model.forward import score
from mtmoe.model.moe.capacity import Capacity
from mtmoe.model.shapes import build_graph

TARGETS = 3
NO_DROPS = tiny_moe(evaluation_factor=None)
ONE_LAYER = {
    "num_encoder_layers": 1,
    "num_decoder_layers": 1,
    "expert_layer_every": 1,
    "moe": None,
}
GPT_LIKE = {
    "positions": "sinusoidal",
    "normalization": "layer_norm",
    "use_bias": True,
    "scale_attention": True,
    "activation": "gelu_exact",
}
ENCODER_DECODERS = {
    "everything_biased": ONE_LAYER
    | GPT_LIKE
    | {
        "moe": NO_DROPS,
        "expert_activation": "silu",
        "expert_d_ff": 24,
        "dense_after_experts": True,
    },
    "switch_attention": ONE_LAYER
    | {
        "positions": "relative_bias_per_layer",
        "activation": "swiglu",
        "attention_moe": NO_DROPS,
        "moe": NO_DROPS,
        "tied_embeddings": False,
    },
}
DECODERS = {
    "glam": {
        "num_layers": 2,
        "positions": "relative_bias_per_layer",
        "activation": "geglu",
        "expert_activation": "gelu",
        "moe": NO_DROPS,
        "bidirectional_prefix": False,
    },
    "prefix_learned": {
        "num_layers": 1,
        "expert_layer_every": 1,
        "positions": "learned",
        "max_positions": 16,
        "attention_moe": NO_DROPS,
        "use_bias": True,
        "normalization": "layer_norm",
    },
}
LAYOUT = "batch:batch;experts:batch;heads:model;d_ff:model;vocab:model"


def tiny_decoder(**fields):
    widths = {"vocab_size": 32, "d_model": 16, "d_ff": 32, "num_heads": 4, "d_kv": 8}
    return DecoderOnly(**(widths | {"initialization_scale": 1.0} | fields))


def encoder_decoder_build(model):
    def build(context, features):
        inputs, targets = import_features(context, features)
        return {
            "whole": score(context, model, inputs, targets).logits,
            "steps": by_steps(context, model, inputs, targets),
        }

    return build


def full_batch():
    """Inputs of any length, and targets that fill their rows."""
    batch = random_batch(inputs=6, targets=TARGETS)
    generator = np.random.default_rng(3)
    batch["targets"] = generator.integers(1, 32, [4, TARGETS]).astype(np.int32)
    return batch


@pytest.mark.parametrize("name", ENCODER_DECODERS)
def test_encoder_decoder_agrees_with_numpy_whole_and_by_steps(name):
    model = tiny_model(**ENCODER_DECODERS[name])
    batch = full_batch()
    outputs, variables = run_randomized(encoder_decoder_build(model), batch)
    wanted = NumpyModel(model, variables).logits(batch["inputs"], batch["targets"])
    for way in ("whole", "steps"):
        np.testing.assert_allclose(outputs[way], wanted, atol=1e-4, rtol=1e-4)
    # The graph that nothing is allocated for has the very same variables.
    shapes = {
        name: tuple(shape.to_integer_list)
        for name, shape in build_graph(model).variables.items()
    }
    assert shapes == {name: value.shape for name, value in variables.items()}


def decoder_batch():
    """Prompts with padding behind them, one of them empty, and rows that go on."""
    batch = full_batch()
    batch["inputs"][3] = 0
    rows = np.zeros([4, 6 + TARGETS], np.int32)
    prefix = np.zeros([4, 6 + TARGETS], np.float32)
    lengths = (batch["inputs"] != 0).sum(1)
    for b, length in enumerate(lengths):
        rows[b, :length] = batch["inputs"][b, :length]
        rows[b, length : length + TARGETS] = batch["targets"][b]
        prefix[b, :length] = 1
    return batch | {"rows": rows, "prefix": prefix}, lengths


def decoder_build(model, steps=True):
    def build(context, features):
        prompts, targets = import_features(context, features)
        rows, _ = import_features(
            context, {"inputs": features["rows"], "targets": features["targets"]}
        )
        rows = dataclasses.replace(
            rows, prefix=context.import_tensor(features["prefix"], rows.ids.shape)
        )
        outputs = {"whole": score(context, model, None, rows).logits}
        if steps:
            outputs["steps"] = by_steps(context, model, prompts, targets)
        return outputs

    return build


@pytest.mark.parametrize("name", DECODERS)
def test_decoder_agrees_with_numpy_whole_and_after_a_prompt(name):
    model = tiny_decoder(**DECODERS[name])
    batch, lengths = decoder_batch()
    outputs, variables = run_randomized(decoder_build(model), batch)
    examples = [row[row != 0] for row in batch["rows"]]
    prefixes = lengths if model.bidirectional_prefix else np.zeros_like(lengths)
    wanted = NumpyModel(model, variables).language_model(examples, prefixes, 9)
    for b, length in enumerate(lengths):
        got = outputs["whole"][b, : len(examples[b])]
        np.testing.assert_allclose(got, wanted[b], atol=1e-4, rtol=1e-4)
        np.testing.assert_allclose(
            outputs["steps"][b], wanted[b][length:], atol=1e-4, rtol=1e-4
        )


ON_MESHES = {
    "glam": DECODERS["glam"],
    "everything": GPT_LIKE
    | {
        "num_layers": 1,
        "expert_layer_every": 1,
        "attention_moe": NO_DROPS,
        "moe": NO_DROPS,
        "expert_activation": "silu",
        "expert_d_ff": 24,
        "dense_after_experts": True,
        "tied_embeddings": False,
    },
}


def with_gradients(model):
    """Builds the logits of whole sequences and the gradient of every variable."""

    def build(context, features):
        outputs = decoder_build(model, steps=False)(context, features)
        variables = context.mesh.graph.trainable_variables
        gradients = mtf.gradients(
            [mtf.reduce_sum(mtf.square(outputs["whole"]))],
            [variable.outputs[0] for variable in variables],
        )
        for variable, gradient in zip(variables, gradients, strict=True):
            outputs[f"gradient of {variable.name}"] = gradient
        return outputs

    return build


@pytest.mark.slow
@pytest.mark.parametrize("name", ON_MESHES)
def test_meshes_compute_the_same_logits_and_gradients(name):
    """The two have biases, gates, experts in attention, an output matrix, positions."""
    model, (batch, _) = tiny_decoder(**ON_MESHES[name]), decoder_batch()
    # Each example a group of its own, which no mesh cuts, and room by a factor: what
    # has room without asking has no gradient.
    roomy = Capacity(evaluation_factor=4.0)
    groups = {
        field: dataclasses.replace(config, group_size=1, capacity=roomy)
        for field in ("moe", "attention_moe")
        if (config := getattr(model, field)) is not None
    }
    model = dataclasses.replace(model, **groups)
    one, _ = run_randomized(with_gradients(model), batch)
    mesh = layout_program("batch:2;model:2", LAYOUT)
    four, _ = run_randomized(with_gradients(model), batch, mesh)
    assert one.keys() == four.keys() and len(one) > 10
    for key, value in one.items():
        # A bias of the keys moves all logits of a query alike: its gradient is 0.
        scale = max(1.0, np.abs(value).max())
        np.testing.assert_allclose(
            four[key], value, rtol=1e-3, atol=1e-4 * scale, err_msg=key
        )


def test_unknown_and_impossible_options_are_refused():
    for field, near in {
        "activation": ("gegllu", "geglu"),
        "expert_activation": ("silo", "silu"),
        "normalization": ("rmsnorm", "rms_norm"),
        "positions": ("sinusoid", "sinusoidal"),
    }.items():
        value, right = near
        with pytest.raises(UnknownNameError, match=right):
            tiny_model(**{field: value})
    with pytest.raises(ConfigError, match="max_positions"):
        tiny_model(positions="learned")
    with pytest.raises(ConfigError, match="same number of experts"):
        tiny_model(attention_moe=tiny_moe(8))
