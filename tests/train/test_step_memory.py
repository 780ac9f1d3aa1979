"""Microbatches and recomputation: another way to the same step."""

import dataclasses
import functools

import numpy as np
import pytest
import tensorflow as tf
from oracles.model_runner import (
    for_decoder,
    random_batch,
    segmented,
    tiny_decoder,
    tiny_model,
    tiny_moe,
)

from mtmoe.engine.program import MeshProgram
from mtmoe.errors import ConfigError, LayoutError
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.features import named_features
from mtmoe.mesh.layout import Layout
from mtmoe.model.parts import takes_inputs
from mtmoe.model.shapes import unlowered_graph
from mtmoe.train.step import StepMemory, train_step_builder

BATCH = 16
ONE, TWO = Layout(), Layout("batch:2", "batch:batch;experts:batch")


class Show:
    """w = gradient, so that the variables show the gradients."""

    def updates(self, context, gradients, learning_rate):
        assert all(gradient.dtype == tf.float32 for _, gradient in gradients)
        return [mtf.assign(variable, gradient) for variable, gradient in gradients]


def encoder_decoder(group_size=None):
    return tiny_model(
        num_encoder_layers=1,
        num_decoder_layers=1,
        expert_layer_every=1,
        dropout_rate=0.1,
        moe=moe(group_size),
    )


def decoder():
    """A decoder alone, whose graph is half as large."""
    return tiny_decoder(dropout_rate=0.1, moe=moe(group_size=None))


def moe(group_size):
    return tiny_moe(
        num_experts=2,
        group_size=group_size,
        dropout_rate=0.1,
        train_factor=0.5,
        minimum=1,
    )


def batch(model):
    """Of eight rows three are padding, and one most of the way."""
    arrays = segmented(random_batch(BATCH))
    number = np.arange(BATCH, dtype=np.int32)[:, np.newaxis]
    for name in ("inputs", "targets"):
        segments = arrays[f"{name}_segments"]
        for empty in (1, 5, 6):
            segments[empty::8] = 0
        segments[4::8, 3:] = 0
        arrays[f"{name}_language"] = np.where(segments > 0, number % 2, -1)
    if takes_inputs(model):
        return arrays
    rows = {  # the longer ones
        name.replace("inputs", "targets"): array
        for name, array in arrays.items()
        if name.startswith("inputs")
    }
    return for_decoder(rows, prefix=3)


def builder(model, memory):
    return train_step_builder(model, Show(), lambda step: tf.ones([]), 2, memory=memory)


def signature(arrays):
    return {name: tf.TensorSpec(x.shape, x.dtype) for name, x in arrays.items()}


def lowered(model, memory, layout=ONE):
    """Returns a program, its step, and what the step takes."""
    program, arrays = MeshProgram(layout), batch(model)
    function = program.function(
        builder(model, memory), signature(arrays), "train", training=True
    )
    return program, function, arrays


@functools.cache
def step(
    model,
    memory=StepMemory(),  # noqa: B008  (frozen)
    layout=ONE,
):
    """Returns outputs and gradients of one step."""
    program, function, arrays = lowered(model, memory, layout)
    outputs = {name: np.asarray(x) for name, x in function(3, **arrays).items()}
    return outputs, program.variables()


def assert_same(got, want, tolerance=1e-5):
    for got_values, want_values in zip(got, want, strict=True):
        assert got_values.keys() == want_values.keys()
        for name, value in want_values.items():
            np.testing.assert_allclose(
                got_values[name],
                value,
                rtol=tolerance,
                atol=tolerance * np.abs(value).max(),
                err_msg=name,
            )


def test_microbatches_and_recomputation_change_neither_losses_nor_gradients():
    """Dropout and jitter are on: a row's noise does not depend on its part either.

    Groups are chosen, two rows each; those of one row would be the same in any part.
    """
    model = encoder_decoder()
    whole = step(model)
    assert model.moe.examples_per_group(BATCH, 12, 32) == 2
    assert whole[0]["dropped_fraction"] > 0.0
    assert whole[0]["language_tokens"].sum() == whole[0]["layer_tokens"][1]
    assert_same(step(model, StepMemory(4, recompute_layers=True)), whole)


def test_microbatches_that_cut_a_group_are_refused():
    """A group of the whole batch is not quietly made smaller.

    24 positions are two rows of inputs and four of targets.
    """
    with pytest.raises(
        ConfigError,
        match=r"decoder\.0\.moe: a routing group has 4 rows of 6 .*has 2 rows.*to 12 ",
    ):
        lowered(encoder_decoder(group_size=24), StepMemory(8))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layout", "memory"),
    [
        (ONE, StepMemory(1, recompute_layers=True)),
        (ONE, StepMemory(4)),
        (TWO, StepMemory(2, recompute_layers=True)),
    ],
    ids=["again", "4_parts", "two_devices_2_parts_again"],
)
def test_all_ways_to_a_step_agree(layout, memory):
    assert step(decoder())[0]["dropped_fraction"] > 0.0
    assert_same(step(decoder(), memory, layout), step(decoder()))


def test_graph_does_not_grow_with_the_microbatches():
    features = named_features(signature(batch(decoder())))

    def operations(parts):
        build = builder(decoder(), StepMemory(parts))
        graph = unlowered_graph(lambda context: build(context, features), training=True)
        loops = [x for x in graph.operations if isinstance(x, mtf.WhileLoopOperation)]
        in_loops = [len(loop._body_ops) for loop in loops]
        return len(graph.operations), in_loops

    outside, in_loops = operations(2)
    assert operations(8) == (outside, in_loops)
    [in_loop] = in_loops
    assert in_loop > outside


TWO_COLUMNS = Layout("model:2", "d_model:model")


def test_noise_of_a_microbatch_is_that_of_its_rows():
    rows, width = mtf.Dimension("batch", 3), mtf.Dimension("d_model", 4)
    both = mtf.Dimension("batch", 6)

    def build(context, features):
        part = context.import_tensor(features["part"], mtf.Shape([]))
        within = dataclasses.replace(context, microbatch=part)
        return {
            "part": within.uniform("a/noise", mtf.Shape([width, rows])),
            "whole": context.uniform("b/noise", mtf.Shape([width, both])),
            "without_rows": within.uniform("c/noise", mtf.Shape([width])),
        }, []

    program = MeshProgram(TWO_COLUMNS)
    part = {"part": tf.TensorSpec([], tf.int32)}
    function = program.function(build, part, "noise", training=True)
    first, second = (
        {name: np.asarray(x) for name, x in function(7, part=part).items()}
        for part in (0, 1)
    )
    np.testing.assert_array_equal(first["whole"], second["whole"])
    assert not np.any(first["part"] == second["part"])
    assert not np.any(first["without_rows"] == second["without_rows"])
    again = {name: np.asarray(x) for name, x in function(7, part=1).items()}
    np.testing.assert_array_equal(again["part"], second["part"])


def test_parts_that_do_not_fit_are_errors():
    with pytest.raises(ConfigError, match="must divide the batch of 16"):
        lowered(decoder(), StepMemory(microbatches=3))
    with pytest.raises(LayoutError, match="each of the 16 microbatches has 1 rows"):
        lowered(decoder(), StepMemory(microbatches=16), TWO)
