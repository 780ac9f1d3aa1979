"""Experts in blocks of tokens, against the same layer with room for every token."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from mtmoe.engine.program import MeshProgram
from mtmoe.mesh.compat import mtf
from mtmoe.model.features import Tokens
from mtmoe.model.feedforward import FeedForward
from mtmoe.model.moe import layer as layer_module
from mtmoe.model.moe.blocks import block_size, most_blocks, plan_blocks
from mtmoe.model.moe.capacity import Capacity
from mtmoe.model.moe.layer import MixtureOfExperts, MixtureOfExpertsLayer
from mtmoe.model.moe.routers.switch import SwitchRouter
from mtmoe.model.moe.routers.top_k import TopKRouter


@given(st.lists(st.integers(0, 5), min_size=1, max_size=60), st.integers(1, 9))
@settings(max_examples=30, deadline=None)
def test_every_assignment_has_a_row_of_its_expert(experts, size):
    num_experts = 5  # 5 stands for none
    num_blocks = most_blocks(len(experts), num_experts, size)
    row, assignment, expert, total = (
        np.asarray(x)
        for x in plan_blocks(tf.constant(experts), num_experts, num_blocks, size)
    )
    assignment = assignment.reshape(-1)
    loads = np.bincount(experts, minlength=6)[:num_experts]
    assert total == np.sum(-(-loads // size)) <= num_blocks
    for number, chosen in enumerate(experts):
        if chosen == num_experts:
            assert row[number] == num_blocks * size
        else:
            assert assignment[row[number]] == number
            assert expert[row[number] // size] == chosen
    used = assignment < len(experts)
    assert used.sum() == loads.sum() and not used[total * size :].any()


def test_blocks_are_as_large_as_the_load():
    assert block_size(2048, 16) == 128
    assert block_size(100_000, 4) == 128
    assert block_size(8, 16) == 8
    assert block_size(5, 16) == 5
    assert block_size(64, 2) == 32


@pytest.mark.parametrize("router", [SwitchRouter(), TopKRouter(k=2)])
def test_same_as_room_for_every_token(router, monkeypatch):
    config = MixtureOfExperts(3, router, Capacity(evaluation_factor=None), group_size=1)
    layer = MixtureOfExpertsLayer(config, FeedForward(12, "geglu", use_bias=True))
    generator = np.random.default_rng(0)
    x = generator.normal(size=[4, 10, 8]).astype(np.float32)
    nonpadding = (generator.random([4, 10]) < 0.8).astype(np.float32)

    def build(context, features):
        batch, length = mtf.Dimension("batch", 4), mtf.Dimension("length", 10)
        laid_out = context.import_tensor(
            features["x"], mtf.Shape([batch, length, mtf.Dimension("d_model", 8)])
        )
        shape = mtf.Shape([batch, length])
        tokens = Tokens(
            mtf.zeros(context.mesh, shape, tf.int32),
            context.import_tensor(features["nonpadding"], shape),
        )
        return {"y": layer(context, laid_out, tokens, "layer")[0]}, []

    signature = {
        "x": tf.TensorSpec(x.shape, tf.float32),
        "nonpadding": tf.TensorSpec(nonpadding.shape, tf.float32),
    }
    program = MeshProgram()

    def run():
        function = program.function(build, signature, "layer")
        return np.asarray(function(0, x=x, nonpadding=nonpadding)["y"])

    calls = []
    in_blocks = layer_module.run_in_blocks

    def counted(*arguments):
        calls.append(1)
        return in_blocks(*arguments)

    monkeypatch.setattr(layer_module, "run_in_blocks", counted)
    got = run()
    assert calls
    monkeypatch.setattr(
        MixtureOfExpertsLayer, "_takes_every_token", lambda *arguments: False
    )
    want = run()
    np.testing.assert_allclose(got, want, atol=1e-5)
    assert np.abs(want).max() > 0.01
    assert not got[nonpadding == 0].any()
