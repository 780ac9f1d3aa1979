"""Microbatches and recomputation: another way to the same step."""

import dataclasses
import functools

import numpy as np
import pytest
import tensorflow as tf
from oracles.model_runner import random_batch, segmented, tiny_model, tiny_moe

from mtmoe.engine.program import MeshProgram
from mtmoe.errors import ConfigError, LayoutError
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.layout import Layout
from mtmoe.train.step import StepMemory, train_step_builder

BATCH = 16
ONE, TWO = Layout(), Layout("batch:2", "batch:batch;experts:batch")


class Show:
    """w = gradient, so that the variables show the gradients."""

    def updates(self, context, gradients, learning_rate):
        assert all(gradient.dtype == tf.float32 for _, gradient in gradients)
        return [mtf.assign(variable, gradient) for variable, gradient in gradients]


def model(group_size):
    moe = tiny_moe(
        num_experts=2,
        group_size=group_size,
        dropout_rate=0.1,
        train_factor=0.5,
        minimum=1,
    )
    return tiny_model(
        num_encoder_layers=1,
        num_decoder_layers=1,
        expert_layer_every=1,
        dropout_rate=0.1,
        moe=moe,
    )


def batch():
    """Of eight rows three are padding, and one most of the way."""
    arrays = segmented(random_batch(BATCH))
    number = np.arange(BATCH, dtype=np.int32)[:, np.newaxis]
    for name in ("inputs", "targets"):
        segments = arrays[f"{name}_segments"]
        for empty in (1, 5, 6):
            segments[empty::8] = 0
        segments[4::8, 3:] = 0
        arrays[f"{name}_language"] = np.where(segments > 0, number % 2, -1)
    return arrays


@functools.cache
def step(
    memory=StepMemory(),  # noqa: B008  (frozen)
    layout=ONE,
    group_size=None,
):
    """Returns outputs and gradients of one step, and the operations of its graph."""
    program = MeshProgram(layout)
    arrays = batch()
    build = train_step_builder(
        model(group_size), Show(), lambda step: tf.ones([]), 2, memory=memory
    )
    signature = {name: tf.TensorSpec(x.shape, x.dtype) for name, x in arrays.items()}
    function = program.function(build, signature, "train", training=True)
    outputs = {name: np.asarray(x) for name, x in function(3, **arrays).items()}
    return outputs, program.variables(), function.program.operations


def assert_same(got, want, tolerance=1e-5):
    for got_values, want_values in zip(got[:2], want[:2], strict=True):
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
    whole = step()
    assert model(None).moe.examples_per_group(BATCH, 12, 32) == 2
    assert whole[0]["dropped_fraction"] > 0.0
    assert whole[0]["language_tokens"].sum() == whole[0]["layer_tokens"][1]
    assert_same(step(StepMemory(4, recompute_layers=True)), whole)


def test_microbatches_that_cut_a_group_are_refused():
    """A group of the whole batch is not quietly made smaller.

    24 positions are two rows of inputs and four of targets.
    """
    with pytest.raises(
        ConfigError,
        match=r"decoder\.0\.moe: a routing group has 4 rows of 6 .*has 2 rows.*to 12 ",
    ):
        step(StepMemory(8), group_size=24)


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
    assert_same(step(memory, layout), step())


@pytest.mark.slow
def test_graph_does_not_grow_with_the_microbatches():
    two, eight = (step(StepMemory(parts))[2] for parts in (2, 8))
    assert eight == two


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
    signature = {"part": tf.TensorSpec([], tf.int32)}
    function = program.function(build, signature, "noise", training=True)
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
        step(StepMemory(microbatches=3))
    with pytest.raises(LayoutError, match="each of the 16 microbatches has 1 rows"):
        step(StepMemory(microbatches=16), TWO)
