"""Every sublayer: whole sequences against steps, and formula against graph."""

import dataclasses
import importlib
import inspect
import pkgutil

import numpy as np
import pytest
import tensorflow as tf
from oracles.model_runner import run_randomized, tiny_moe

import mtmoe.model
from mtmoe.mesh.compat import mtf
from mtmoe.model.architectures.universal import PassSignal
from mtmoe.model.attention.cross_attention import CrossAttention
from mtmoe.model.attention.multi_head import MultiHeadAttention
from mtmoe.model.attention.self_attention import SelfAttention
from mtmoe.model.attention.switch import SwitchAttention
from mtmoe.model.counts import Lengths
from mtmoe.model.features import Tokens, import_padded
from mtmoe.model.feedforward import DenseFeedForward, FeedForward
from mtmoe.model.moe.feedforward import SparseFeedForward
from mtmoe.model.moe.layer import MixtureOfExpertsLayer
from mtmoe.model.normalization import LayerNorm
from mtmoe.model.positions.relative import RelativePositionBias
from mtmoe.model.residual import Entry, Residual
from mtmoe.model.shapes import unlowered_graph
from mtmoe.model.stack import Stack
from mtmoe.model.sublayer import Memory, PositionWise, Sublayer

B, L, N, M = 3, 5, 4, 16
PROMPT = 3
ATTENTION = MultiHeadAttention(4, 8, use_bias=True, scale_logits=True)
RELATIVE = RelativePositionBias(4, bidirectional=False)
NETWORK = FeedForward(24, "geglu", use_bias=True)
MOE = tiny_moe(evaluation_factor=None, group_size=1)
SUBLAYERS = {
    "SelfAttention": SelfAttention(ATTENTION, RELATIVE),
    "SwitchAttention": SwitchAttention.make(ATTENTION, MOE, NETWORK, True, RELATIVE),
    "CrossAttention": CrossAttention(ATTENTION),
    "DenseFeedForward": DenseFeedForward(NETWORK),
    "SparseFeedForward": SparseFeedForward(
        MixtureOfExpertsLayer(
            dataclasses.replace(MOE, shared_d_ff=8), NETWORK, causal=True
        )
    ),
    "PassSignal": PassSignal(2),
}
RESIDUALS = {
    "pre_norm": {},
    "post_norm": {"norm": None, "output_norm": LayerNorm()},
    "every_norm": {
        "branch_norm": LayerNorm(),
        "output_norm": LayerNorm(),
        "scaled_skip": True,
    },
}


def test_every_sublayer_is_here():
    for module in pkgutil.walk_packages(mtmoe.model.__path__, "mtmoe.model."):
        importlib.import_module(module.name)
    found, waiting = set(), [Sublayer]
    while waiting:
        kinds = waiting.pop().__subclasses__()
        waiting += kinds
        found |= {
            kind
            for kind in kinds
            if not inspect.isabstract(kind) and kind.__module__.startswith("mtmoe.")
        }
    assert {kind.__name__ for kind in found - {PositionWise}} == SUBLAYERS.keys()


def stack_of(sublayer, **residual):
    block = (Residual(name="f", sublayer=sublayer, **residual),)
    entries = tuple(Entry(block, f"layer_{i}") for i in range(2))
    return Stack(name="decoder", entries=entries, bidirectional=False)


def arrays():
    generator = np.random.default_rng(0)
    memory = generator.integers(1, 9, [B, N]).astype(np.int32)
    memory[1, 2:] = 0
    memory[2] = 0
    return {
        "ids": generator.integers(1, 9, [B, L]).astype(np.int32),
        "memory": memory,
        "x": generator.standard_normal([B, L, M]).astype(np.float32),
        "values": generator.standard_normal([B, N, M]).astype(np.float32),
    }


@pytest.mark.parametrize(
    ("name", "residual"),
    [("DenseFeedForward", kind) for kind in RESIDUALS if kind != "every_norm"]
    + [(name, "every_norm") for name in SUBLAYERS],
)
def test_steps_are_whole_sequences(name, residual):
    """One definition serves both: nothing of a place depends on how it is reached."""
    stack = stack_of(SUBLAYERS[name], **RESIDUALS[residual])

    def build(context, features):
        d_model = mtf.Dimension("d_model", M)
        tokens = import_padded(context, features["ids"])
        seen = import_padded(context, features["memory"])
        x = context.import_tensor(features["x"], tokens.ids.shape + d_model)
        values = context.import_tensor(features["values"], seen.ids.shape + d_model)
        memory = Memory(values, seen)
        made, _ = stack.call(context, x, tokens, memory)
        whole = made.values
        state = stack.start(context, memory, L)
        steps = []
        for place in range(L):
            here = Tokens(
                mtf.slice(tokens.ids, place, 1, "length"),
                mtf.slice(tokens.nonpadding, place, 1, "length"),
            )
            number = mtf.constant(context.mesh, place, mtf.Shape([]), tf.int32)
            y, state = stack.step(
                context, mtf.slice(x, place, 1, "length"), here, state, number
            )
            steps.append(y)
        outputs = {"whole": whole, "steps": mtf.concat(steps, "length")}
        if name != "CrossAttention":  # of a decoder with a memory nobody asks it
            outputs |= after_a_prompt(context, x, tokens)
        return outputs

    def after_a_prompt(context, x, tokens):
        """The first places in one pass, of which steps read the last again."""

        def part(tensor, begin, size):
            return mtf.slice(tensor, begin, size, "length")

        def tokens_of(begin, size):
            return Tokens(*(part(t, begin, size) for t in (tokens.ids, used)))

        used = tokens.nonpadding
        state = stack.start_after(
            context, part(x, 0, PROMPT), tokens_of(0, PROMPT), PROMPT - 1, L - PROMPT
        )
        steps = []
        for place in range(PROMPT - 1, L):
            number = mtf.constant(
                context.mesh, place - PROMPT + 1, mtf.Shape([]), tf.int32
            )
            y, state = stack.step(
                context, part(x, place, 1), tokens_of(place, 1), state, number
            )
            steps.append(y)
        return {"after": mtf.concat(steps, "length")}

    outputs, _ = run_randomized(build, arrays())
    whole = outputs["whole"]
    assert np.isfinite(whole).all()
    np.testing.assert_allclose(outputs["steps"], whole, rtol=1e-4, atol=1e-4)
    if "after" in outputs:
        np.testing.assert_allclose(
            outputs["after"], whole[:, PROMPT - 1 :], rtol=1e-4, atol=1e-4
        )


@pytest.mark.parametrize("residual", RESIDUALS)
@pytest.mark.parametrize("name", SUBLAYERS)
def test_sizes_count_the_variables(name, residual):
    stack = stack_of(SUBLAYERS[name], **RESIDUALS[residual])

    def build(context):
        def tokens(length):
            shape = mtf.Shape(
                [mtf.Dimension("batch", B), mtf.Dimension("length", length)]
            )
            ids = mtf.ones(context.mesh, shape, tf.int32)
            return Tokens(ids, mtf.ones(context.mesh, shape, tf.float32))

        d_model = mtf.Dimension("d_model", M)
        target, memory = tokens(L), tokens(N)
        x = mtf.zeros(context.mesh, target.ids.shape + d_model)
        values = mtf.zeros(context.mesh, memory.ids.shape + d_model)
        stack.call(context, x, target, Memory(values, memory))

    graph = unlowered_graph(build)
    held = sum(variable.shape.size for variable in graph.all_variables)
    assert stack.sizes(Lengths(M, L, N)).parameters.total == held
