"""Stacks that pool and give back, against numpy."""

import dataclasses

import numpy as np
import pytest
from oracles.model_runner import (
    by_steps,
    random_batch,
    run,
    run_randomized,
    tiny_decoder,
    tiny_model,
)

from mtmoe.errors import ConfigError
from mtmoe.mesh.compat import mtf
from mtmoe.model.counts import Lengths
from mtmoe.model.encoder_only import EncoderOnly
from mtmoe.model.features import import_features, import_padded
from mtmoe.model.forward import score
from mtmoe.model.lengths import MeanPooling, Upsampling
from mtmoe.model.residual import Entry
from mtmoe.model.stack import Stack
from mtmoe.model.t5 import t5_stack

EMPTY = Stack(
    name="encoder",
    entries=(
        Entry((), "wide"),
        Entry((), "narrow", resize=MeanPooling(2)),
        Entry((), "narrower", resize=MeanPooling(3)),
        Entry((), "whole", resize=Upsampling()),
    ),
    bidirectional=True,
    norm=None,
)
IDS = np.array(
    [[3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5], [3, 4, 5, 6, 7, 0, 0, 0, 0, 0, 0, 0]],
    np.int32,
)


def pooled(x, used, stride):
    """The mean of each window's tokens, and which windows hold one."""
    windows = x.reshape(len(x), -1, stride, x.shape[-1])
    mask = used.reshape(len(x), -1, stride, 1)
    mean = (windows * mask).sum(2) / np.maximum(mask.sum(2), 1)
    return mean, mask.max((2, 3))


def test_pooled_places_are_means_of_tokens_and_are_given_back():
    x = np.random.default_rng(0).standard_normal([2, 12, 4]).astype(np.float32)

    def build(context, features):
        tokens = import_padded(context, features["ids"])
        values = context.import_tensor(
            features["x"], tokens.ids.shape + mtf.Dimension("d_model", 4)
        )
        outputs = {}
        for count in (2, 3, 4):
            part = dataclasses.replace(EMPTY, entries=EMPTY.entries[:count])
            made, _ = part.call(context, values, tokens)
            outputs[f"values_{count}"] = made.values
            outputs[f"used_{count}"] = made.tokens.nonpadding
        return outputs

    outputs = run(build, {"ids": IDS, "x": x}).outputs
    used = (IDS != 0).astype(np.float64)
    two, used_two = pooled(x, used, 2)
    six, used_six = pooled(two, used_two, 3)
    whole = x + np.repeat(six, 6, axis=1)
    for count, values, tokens in (
        (2, two, used_two),
        (3, six, used_six),
        (4, whole, used),
    ):
        np.testing.assert_allclose(outputs[f"values_{count}"], values, atol=1e-5)
        np.testing.assert_array_equal(outputs[f"used_{count}"], tokens)
    assert EMPTY.sizes(Lengths(4, 12)).parameters.total == 0


def funnel(plan):
    """T5's stack whose encoder runs on half of the places after its first block."""
    stack = t5_stack(plan)
    if plan.name == "decoder":
        return stack
    first, *others = stack.entries
    others[0] = dataclasses.replace(others[0], resize=MeanPooling(2))
    return dataclasses.replace(stack, entries=(first, *others))


def test_a_decoder_looks_at_pooled_places():
    """Scores in whole sequences are those by steps, and padding has no say."""
    model = tiny_model(architecture=funnel, moe=None)
    batch = random_batch()
    batch["targets"] = np.maximum(batch["targets"], 1)
    longer = batch | {"inputs": np.pad(batch["inputs"], [(0, 0), (0, 4)])}

    def build(context, features):
        inputs, targets = import_features(context, features)
        return {
            "whole": score(context, model, inputs, targets).logits,
            "steps": by_steps(context, model, inputs, targets),
        }

    outputs, variables = run_randomized(build, batch)
    np.testing.assert_allclose(outputs["steps"], outputs["whole"], rtol=1e-4, atol=1e-4)
    again = run(build, longer, variables).outputs["whole"]
    np.testing.assert_allclose(again, outputs["whole"], rtol=1e-4, atol=1e-4)
    plain = tiny_model(moe=None)
    attention = [
        m.encoder.sizes(Lengths(16, 12)).flops.attention for m in (model, plain)
    ]
    assert attention[0] * 2 == attention[1] * (1 + 1 / 4)


def test_mistakes_are_refused():
    with pytest.raises(ConfigError, match="the decoder is causal"):
        tiny_decoder(num_layers=1, moe=None, architecture=causal_funnel)
    with pytest.raises(ConfigError, match="block 1 of the encoder has experts"):
        tiny_model(architecture=funnel)
    model = EncoderOnly(
        vocab_size=32,
        d_model=16,
        d_ff=32,
        num_heads=4,
        d_kv=8,
        num_layers=2,
        architecture=funnel,
    )

    def build(context, features):
        tokens = import_padded(context, features["ids"])
        return {"logits": score(context, model, tokens, tokens).logits}

    with pytest.raises(ConfigError, match="stride = 2 does not divide the 5 places"):
        run(build, {"ids": IDS[:, :5]})


def causal_funnel(plan):
    stack = t5_stack(plan)
    pooling = dataclasses.replace(stack.entries[0], resize=MeanPooling(2))
    return dataclasses.replace(stack, entries=(pooling,))
