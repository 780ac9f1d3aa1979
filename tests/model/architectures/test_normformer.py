"""NormFormer against a layer written from the paper, in numpy."""

import dataclasses
import math

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

from mtmoe.mesh.compat import mtf
from mtmoe.model.architectures.normformer import NormFormer
from mtmoe.model.features import import_features, import_padded
from mtmoe.model.forward import score
from mtmoe.model.shapes import build_graph
from mtmoe.model.sizes import count_parameters

L, HEADS, D_KV = 5, 4, 8
EVERYTHING = NormFormer(residual_scale=True)
FIELDS = {
    "num_layers": 2,
    "moe": None,
    "positions": "none",
    "normalization": "layer_norm",
    "use_bias": True,
    "scale_attention": True,
    "activation": "relu",
}


def whole(model):
    def build(context, features):
        return {"logits": score(context, model, None, rows(context, features)).logits}

    return build


def rows(context, features):
    return import_padded(context, features["ids"])


def norm(variables, scope, x):
    x = x - x.mean(-1, keepdims=True)
    x = x / np.sqrt(np.square(x).mean(-1, keepdims=True) + 1e-5)
    return x * variables[f"{scope}/scale"] + variables[f"{scope}/bias"]


def layer(v, x):
    """X [L, M] -> [L, M]; Shleifer et al. 2021, equations of section 3."""
    y = norm(v, "self_attention_norm", x)
    a = {k[15:]: value for k, value in v.items() if k.startswith("self_attention/")}
    q, k, value = (np.tensordot(y, a[n], 1) + a[f"{n}_bias"] for n in "qkv")
    heads = []
    for h in range(HEADS):
        scores = q[:, h] @ k[:, h].T / math.sqrt(D_KV)
        scores[np.triu_indices(len(x), 1)] = -np.inf
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        heads.append(a["head_scale"][h] * (weights @ value[:, h]))
    joined = np.concatenate(heads, -1) @ a["o"].reshape(-1, x.shape[-1]) + a["o_bias"]
    x = x + norm(v, "self_attention_branch_norm", joined)
    y = norm(v, "feed_forward_norm", x)
    f = {k[13:]: value for k, value in v.items() if k.startswith("feed_forward/")}
    hidden = np.maximum(y @ f["wi"] + f["wi_bias"], 0)
    y = norm(f, "hidden_norm", hidden) @ f["wo"] + f["wo_bias"]
    return v["feed_forward_skip_scale"] * x + y


def test_agrees_with_numpy():
    model = tiny_decoder(**FIELDS, architecture=EVERYTHING)
    ids = np.random.default_rng(0).integers(1, 32, [2, L]).astype(np.int32)
    outputs, variables = run_randomized(whole(model), {"ids": ids})
    v = {name: value.astype(np.float64) for name, value in variables.items()}
    for row, got in zip(ids, outputs["logits"], strict=True):
        x = v["embedding"][np.concatenate([[0], row[:-1]])]
        for number in range(2):
            scope = f"decoder/layer_{number:03d}/"
            x = layer({k[len(scope) :]: y for k, y in v.items() if scope in k}, x)
        x = norm(v, "decoder/final_norm", x) / math.sqrt(model.d_model)
        np.testing.assert_allclose(got, x @ v["embedding"].T, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("every", [1, 2])
def test_steps_and_sizes_agree_with_whole_sequences(every):
    """An encoder-decoder with experts: their hidden activations are normalized too."""
    model = tiny_model(
        architecture=EVERYTHING,
        moe=tiny_moe(evaluation_factor=None),
        expert_layer_every=every,
        normalization="layer_norm",
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
    experts = "encoder/layer_001/moe/experts/hidden_norm/scale"
    assert variables[experts].shape == (4, 32)
    assert build_graph(model).num_parameters == count_parameters(model).total


def test_parameters_grow_by_h_and_two_d_and_two_d_ff_a_layer():
    plain = tiny_decoder(**FIELDS | {"num_layers": 12})
    for architecture, d_model in ((NormFormer(), 0), (EVERYTHING, 16)):
        model = dataclasses.replace(plain, architecture=architecture)
        more = count_parameters(model).total - count_parameters(plain).total
        assert more == 12 * (HEADS + 2 * 16 + 2 * 32 + d_model)
        assert build_graph(model).num_parameters == count_parameters(model).total


def test_scales_of_one_and_no_norm_are_the_plain_model():
    plain = tiny_decoder(**FIELDS)
    scaled = NormFormer(attention_norm=False, hidden_norm=False, residual_scale=True)
    ids = np.random.default_rng(0).integers(1, 32, [2, L]).astype(np.int32)

    def build(context, features):
        tokens = rows(context, features)
        with_scales = dataclasses.replace(plain, architecture=scaled)
        return {
            "plain": score(context, plain, None, tokens).logits,
            "scaled": score(context, with_scales, None, tokens).logits,
        }

    outputs = run(build, {"ids": ids}).outputs
    np.testing.assert_array_equal(outputs["plain"], outputs["scaled"])


def test_gradients_of_the_scales_are_finite_differences():
    model = tiny_decoder(**FIELDS | {"num_layers": 1}, architecture=EVERYTHING)
    ids = np.random.default_rng(0).integers(1, 32, [2, L]).astype(np.int32)
    names = ("self_attention/head_scale", "feed_forward_skip_scale")
    names += ("feed_forward/hidden_norm/scale",)

    def build(context, features):
        logits = score(context, model, None, rows(context, features)).logits
        loss = mtf.reduce_mean(mtf.square(logits))
        variables = {
            v.name: v.outputs[0] for v in context.mesh.graph.trainable_variables
        }
        wanted = [variables[f"decoder/layer_000/{name}"] for name in names]
        gradients = mtf.gradients([loss], wanted)
        return {"loss": loss} | dict(zip(names, gradients, strict=True))

    first, variables = run_randomized(build, {"ids": ids})
    for name in names:
        full = f"decoder/layer_000/{name}"
        step = 1e-2
        losses = []
        for sign in (1, -1):
            moved = variables[full].copy()
            moved[1] += sign * step
            losses.append(
                run(build, {"ids": ids}, variables | {full: moved}).outputs["loss"]
            )
        difference = (losses[0] - losses[1]) / (2 * step)
        assert first[name][1] == pytest.approx(difference, rel=0.02, abs=1e-4)


def test_tokens_are_the_same_whatever_the_scale_of_the_first_matrix():
    """LN of the hidden activations: c wi changes nothing, with ReLU and no bias."""
    fields = FIELDS | {"use_bias": False, "num_layers": 1}
    model = tiny_decoder(**fields, architecture=NormFormer())
    ids = np.random.default_rng(0).integers(1, 32, [2, L]).astype(np.int32)

    outputs, variables = run_randomized(whole(model), {"ids": ids})
    name = "decoder/layer_000/feed_forward/wi"
    louder = variables | {name: 8 * variables[name]}
    again = run(whole(model), {"ids": ids}, louder).outputs
    np.testing.assert_allclose(again["logits"], outputs["logits"], rtol=1e-3, atol=1e-3)
