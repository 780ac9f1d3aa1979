"""Layers that share their parameters, against the same layers with copies of them."""

import dataclasses
import re

import numpy as np
import pytest
from oracles.model_runner import (
    by_steps,
    random_batch,
    run,
    run_randomized,
    tiny_decoder,
    tiny_model,
    tiny_moe,
)

from mtmoe.errors import ConfigError, UnknownNameError
from mtmoe.mesh.compat import mtf
from mtmoe.model.architectures.universal import (
    FactorizedEmbedding,
    FactorizedLogits,
    SharedLayers,
)
from mtmoe.model.encoder_only import EncoderOnly
from mtmoe.model.features import import_features, import_padded
from mtmoe.model.forward import score
from mtmoe.model.shapes import build_graph
from mtmoe.model.sizes import count_parameters, forward_flops

IDS = np.random.default_rng(0).integers(1, 32, [2, 5]).astype(np.int32)
FIELDS = {"num_layers": 3, "moe": None}


def with_gradients(model):
    def build(context, features):
        logits = score(context, model, None, import_padded(context, features["ids"]))
        logits = logits.logits
        variables = context.mesh.graph.trainable_variables
        gradients = mtf.gradients(
            [mtf.reduce_sum(mtf.square(logits))], [v.outputs[0] for v in variables]
        )
        named = {v.name: g for v, g in zip(variables, gradients, strict=True)}
        return {"logits": logits} | named

    return build


SHARED = {
    "all": (SharedLayers(), r"shared_000/"),
    "groups": (SharedLayers(groups=2), r"shared_00[01]/"),
    "attention": (SharedLayers("attention"), r"shared_000_self_attention/"),
    "feed_forward": (SharedLayers("feed_forward"), r"shared_000_feed_forward/"),
}


@pytest.mark.parametrize("name", SHARED)
def test_shared_layers_are_layers_with_copies_and_sums_of_gradients(name):
    architecture, shared = SHARED[name]
    plain = tiny_decoder(**FIELDS)
    model = dataclasses.replace(plain, architecture=architecture)
    tied, variables = run_randomized(with_gradients(model), {"ids": IDS})

    def of_shared(full):
        """The shared variable that a plain layer's is a copy of."""
        match = re.match(r"decoder/layer_00(\d)/(self_attention|feed_forward)", full)
        if match is None:
            return full
        layer, part = int(match[1]), match[2]
        group = layer * architecture.groups // 3
        rest = full.partition(f"layer_00{layer}/")[2]
        if architecture.shared == "all":
            return f"decoder/shared_00{group}/{rest}"
        if architecture.shared == part.removeprefix("self_"):
            return f"decoder/shared_000_{part}/{rest}"
        return f"decoder/layer_00{layer}_{part}/{rest}"

    names = build_graph(plain).variables
    copies = {full: variables[of_shared(full)] for full in names}
    assert any(re.search(shared, of_shared(full)) for full in names)
    untied = run(with_gradients(plain), {"ids": IDS}, copies).outputs
    np.testing.assert_allclose(tied["logits"], untied["logits"], rtol=1e-5, atol=1e-5)
    sums = {}
    for full in names:
        sums[of_shared(full)] = sums.get(of_shared(full), 0) + untied[full]
    assert sums.keys() == tied.keys() - {"logits"}
    for full, gradient in sums.items():
        scale = np.abs(gradient).max()
        np.testing.assert_allclose(
            tied[full], gradient, rtol=1e-4, atol=1e-5 * scale, err_msg=full
        )


def test_depth_costs_operations_and_no_parameters():
    counts, flops = set(), []
    for num_layers in (1, 4):
        model = tiny_decoder(
            num_layers=num_layers, moe=None, architecture=SharedLayers()
        )
        counts.add(count_parameters(model).total)
        assert build_graph(model).num_parameters == count_parameters(model).total
        flops.append(forward_flops(model, 0, 8))
    assert len(counts) == 1
    assert flops[1].attention == 4 * flops[0].attention


@pytest.mark.parametrize("every", [0, 1])
def test_a_universal_transformer_decodes_as_it_scores(every):
    model = tiny_model(
        architecture=SharedLayers(pass_signals=True, post_norm=True),
        positions="none",
        moe=tiny_moe(evaluation_factor=None),
        expert_layer_every=every,
        num_encoder_layers=3,
        num_decoder_layers=3,
    )
    batch = random_batch()
    batch["targets"] = np.maximum(batch["targets"], 1)

    def build(context, features):
        inputs, targets = import_features(context, features)
        return {
            "whole": score(context, model, inputs, targets).logits,
            "steps": by_steps(context, model, inputs, targets),
        }

    outputs, variables = run_randomized(build, batch)
    np.testing.assert_allclose(outputs["steps"], outputs["whole"], rtol=1e-4, atol=1e-4)
    # Post-norm: nothing stands before a sublayer or behind the last.
    assert not any("final_norm" in name for name in variables)
    assert build_graph(model).num_parameters == count_parameters(model).total


def test_signals_tell_places_and_passes_apart():
    """Tokens that are alike differ by their place; without signals they do not."""
    same = np.full([1, 6], 3, np.int32)
    different = []
    for signals in (False, True):
        model = EncoderOnly(
            **WIDTHS,
            num_layers=2,
            positions="none",
            initialization_scale=1.0,
            architecture=SharedLayers(pass_signals=signals, post_norm=True),
        )

        def build(context, features, model=model):
            tokens = import_padded(context, features["ids"])
            return {"logits": score(context, model, tokens, tokens).logits}

        logits = run(build, {"ids": same}).outputs["logits"][0]
        different.append(np.abs(logits - logits[0]).max())
    assert different[0] < 1e-5 < 1e-2 < different[1]


def test_passes_draw_noise_of_their_own():
    """With one noise for both passes the second layer would drop the same channels."""
    model = tiny_decoder(
        num_layers=2, moe=None, dropout_rate=0.5, architecture=SharedLayers()
    )

    def build(context, features):
        tokens = import_padded(context, features["ids"])
        logits = score(context, model, None, tokens).logits
        drawn = [name for name in context._drawn if "@" in name]
        assert {name.rpartition("@")[2] for name in drawn} == {"pass_000", "pass_001"}
        return {"logits": logits}

    noisy = run(build, {"ids": IDS}, training=True)
    assert np.isfinite(noisy.outputs["logits"]).all()


WIDTHS = {"vocab_size": 32, "d_model": 16, "d_ff": 32, "num_heads": 4, "d_kv": 8}


def test_factorized_embedding_and_logits_are_products_of_both_factors():
    model = EncoderOnly(
        **WIDTHS,
        num_layers=1,
        inputs=FactorizedEmbedding(6),
        outputs=FactorizedLogits(),
    )

    def build(context, features):
        tokens = import_padded(context, features["ids"])
        x = model.embedding(context, tokens)
        return {"x": x, "logits": model.logits(context, x)}

    result = run(build, {"ids": IDS})
    table = result.variables["embedding"] @ result.variables["embedding_projection"]
    np.testing.assert_allclose(result.outputs["x"], table[IDS], atol=1e-5)
    wanted = table[IDS] @ table.T / 4
    np.testing.assert_allclose(result.outputs["logits"], wanted, atol=1e-4)
    assert abs(table.std() - 0.8) < 0.15  # that of a whole table cut at two
    graph = build_graph(model, input_length=8)
    assert graph.num_parameters == count_parameters(model).total
    assert graph.flops == forward_flops(model, 8, 0).total


@pytest.mark.parametrize(
    ("d_model", "heads", "num_layers", "published", "tolerance"),
    [
        (768, 12, 12, 12e6, 0.01),
        (1024, 16, 24, 18e6, 0.02),
        (2048, 16, 24, 60e6, 0.01),
        # 235 M is published; one layer of 201 M and the embedding are fewer.
        (4096, 64, 12, 222.6e6, 0.015),
    ],
)
def test_published_parameters_of_albert(
    d_model, heads, num_layers, published, tolerance
):
    """Lan et al. 2020, table 1, less BERT's pooler, which is no part of the encoder."""
    model = EncoderOnly(
        vocab_size=30_000,
        d_model=d_model,
        d_ff=4 * d_model,
        num_heads=heads,
        d_kv=d_model // heads,
        num_layers=num_layers,
        normalization="layer_norm",
        positions="learned",
        max_positions=512,
        use_bias=True,
        inputs=FactorizedEmbedding(128),
        outputs=FactorizedLogits(),
        architecture=SharedLayers(post_norm=True),
    )
    ours = count_parameters(model).total
    assert ours == pytest.approx(published - d_model**2, rel=tolerance)
    assert build_graph(model).num_parameters == ours


def test_mistakes_are_refused():
    with pytest.raises(UnknownNameError, match="feed_forward"):
        SharedLayers("feedforward")
    with pytest.raises(ConfigError, match="groups is 4, the decoder has 3"):
        tiny_decoder(**FIELDS, architecture=SharedLayers(groups=4))
    with pytest.raises(ConfigError, match="expert_layer_every = 1"):
        tiny_decoder(
            num_layers=2,
            moe=tiny_moe(),
            expert_layer_every=2,
            architecture=SharedLayers(),
        )
    with pytest.raises(ConfigError, match="FactorizedEmbedding"):
        _ = tiny_decoder(**FIELDS, outputs=FactorizedLogits()).logits
    with pytest.raises(ConfigError, match="tied_embeddings"):
        _ = tiny_decoder(**FIELDS, inputs=FactorizedEmbedding(4)).logits
