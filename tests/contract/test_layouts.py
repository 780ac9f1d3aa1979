"""One model, one seed, any layout: the same losses and the same weights."""

import functools

import numpy as np
import pytest
import tensorflow as tf
from oracles.model_runner import random_batch, segmented, tiny_model, tiny_moe

from mtmoe.engine.program import MeshProgram
from mtmoe.evaluate.step import evaluation_step_builder
from mtmoe.mesh.layout import Layout
from mtmoe.train.optimizers.adafactor import Adafactor
from mtmoe.train.step import train_step_builder

STEPS, MORE_STEPS = 3, 10
# Chosen groups: those of a batch of 4 may be split up to four ways. Dropout and jitter
# are on: the noise must not depend on the layout either.
MODEL = tiny_model(
    num_encoder_layers=1,
    num_decoder_layers=1,
    expert_layer_every=1,
    dropout_rate=0.1,
    moe=tiny_moe(group_size=None, dropout_rate=0.1, minimum=2),
)
OPTIMIZER = Adafactor(min_dim_size_to_factor=16)


def learning_rate(step):
    return 0.01 / (1.0 + tf.cast(step, tf.float32))


def stepper(program):
    """Returns a function of the step, which trains it and gives its outputs."""
    signature = {
        name: tf.TensorSpec(x.shape, x.dtype)
        for name, x in segmented(random_batch()).items()
    }
    build = train_step_builder(MODEL, OPTIMIZER, learning_rate, num_languages=2)
    step_function = program.function(build, signature, "train", training=True)

    def train(step):
        batch_of_step = segmented(random_batch(seed=step))
        for name in ("inputs", "targets"):
            is_used = batch_of_step[f"{name}_segments"] > 0
            rows = np.arange(len(is_used), dtype=np.int32)[:, np.newaxis]
            batch_of_step[f"{name}_language"] = np.where(is_used, rows % 2, -1)
        outputs = step_function(step, **batch_of_step)
        return {name: np.asarray(value) for name, value in outputs.items()}

    return train


def trained(layout):
    """Returns outputs of each step, of an evaluation after them, weights, and more."""
    program = MeshProgram(layout, seed=1)
    train = stepper(program)
    history = [train(step) for step in range(STEPS)]
    batch = random_batch()
    signature = {name: tf.TensorSpec(x.shape, x.dtype) for name, x in batch.items()}
    evaluate = program.function(evaluation_step_builder(MODEL), signature, "evaluate")
    evaluation = {name: np.asarray(x) for name, x in evaluate(0, **batch).items()}
    return history, evaluation, program.variables(), train


@functools.cache
def reference():
    """The same on one processor, and the history after some more steps."""
    history, evaluation, variables, train = trained(Layout())
    longer = history + [train(step) for step in range(STEPS, MORE_STEPS)]
    return history, evaluation, variables, longer


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mesh_shape", "rules"),
    [
        pytest.param(*layout, id=name)
        for name, layout in {
            "data_expert_model": (
                "batch:2;model:2",
                "batch:batch;experts:batch;heads:model;d_ff:model;vocab:model",
            ),
            "outer_batch": (
                "outer:2;batch:2",
                "outer_batch:outer;batch:batch;experts:batch;optimizer_state:outer",
            ),
        }.items()
    ],
)
def test_all_outputs_and_an_evaluation_are_those_of_one_device(mesh_shape, rules):
    """More layouts, and what else a run may have: test_agreement."""
    history, evaluation, variables, _ = trained(Layout(mesh_shape, rules))
    one_history, one_evaluation, one_variables, _ = reference()
    for step, (got, want) in enumerate(zip(history, one_history, strict=True)):
        for name, value in want.items():
            np.testing.assert_allclose(
                got[name], value, rtol=1e-5, atol=1e-6, err_msg=f"{name} at {step}"
            )
    np.testing.assert_allclose(
        evaluation["token_loss"], one_evaluation["token_loss"], rtol=1e-4, atol=1e-4
    )
    np.testing.assert_array_equal(
        evaluation["expert_counts"], one_evaluation["expert_counts"]
    )
    assert variables.keys() == one_variables.keys()
    for name, value in one_variables.items():
        np.testing.assert_allclose(
            variables[name], value, rtol=1e-3, atol=1e-4, err_msg=name
        )


@pytest.mark.slow
def test_weights_taken_out_and_put_back_after_each_step_give_the_same_bits():
    """A step takes over the memory of the variables; nobody else may hold it."""
    longer = reference()[-1]
    program = MeshProgram(seed=1)
    train = stepper(program)
    for step, want in enumerate(longer):
        got = train(step)
        taken = program.variables()
        program.assign(taken)
        for value in taken.values():
            value.fill(np.nan)
        for name, value in want.items():
            np.testing.assert_array_equal(got[name], value, f"{name} at {step}")
    losses = [float(outputs["loss"]) for outputs in longer]
    assert len(set(losses)) == len(losses) == MORE_STEPS


@pytest.mark.slow
def test_loss_falls_on_a_batch_seen_again():
    model = tiny_model(num_encoder_layers=1, num_decoder_layers=1, expert_layer_every=1)
    program = MeshProgram(seed=0)
    batch = segmented(random_batch())
    signature = {name: tf.TensorSpec(x.shape, x.dtype) for name, x in batch.items()}
    build = train_step_builder(model, OPTIMIZER, lambda step: tf.constant(0.03), 0)
    step_function = program.function(build, signature, "train", training=True)
    losses = [float(step_function(step, **batch)["loss"]) for step in range(60)]
    assert losses[-1] < 0.5 * losses[0]
