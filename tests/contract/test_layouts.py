"""One model, one seed, any layout: the same losses and the same weights."""

import functools

import numpy as np
import pytest
import tensorflow as tf
from oracles.model_runner import (
    for_decoder,
    random_batch,
    segmented,
    tiny_decoder,
    tiny_moe,
)

from mtmoe.engine.program import MeshProgram
from mtmoe.evaluate.step import evaluation_step_builder
from mtmoe.mesh.layout import Layout
from mtmoe.train.optimizers.adafactor import Adafactor
from mtmoe.train.step import train_step_builder

STEPS, MORE_STEPS = 3, 10
# Chosen groups: those of a batch of 4 may be split up to four ways. Dropout and jitter
# are on: the noise must not depend on the layout either.
MODEL = tiny_decoder(
    dropout_rate=0.1,
    moe=tiny_moe(group_size=None, dropout_rate=0.1, minimum=2),
)
OPTIMIZER = Adafactor(min_dim_size_to_factor=16)


def learning_rate(step):
    return 0.03 / (1.0 + tf.cast(step, tf.float32) / 20.0)


def batch(seed):
    arrays = for_decoder(segmented(random_batch(seed=seed)))
    used = arrays["targets_segments"]
    rows = np.arange(len(used), dtype=np.int32)[:, np.newaxis]
    return arrays | {"targets_language": np.where(used > 0, rows % 2, -1)}


def signature(arrays):
    return {name: tf.TensorSpec(x.shape, x.dtype) for name, x in arrays.items()}


class Trained:
    """A model in training on a mesh, and what it was before the first step."""

    def __init__(self, layout):
        self.program = MeshProgram(layout, seed=1)
        build = train_step_builder(MODEL, OPTIMIZER, learning_rate, num_languages=2)
        self.step = self.program.function(
            build, signature(batch(seed=0)), "train", training=True
        )
        self.initial = self.program.variables()

    def train(self, step, seed):
        """Returns the outputs of a step on the batch of a seed."""
        outputs = self.step(step, **batch(seed))
        return {name: np.asarray(value) for name, value in outputs.items()}

    def some_steps(self):
        """Returns outputs of each step, of an evaluation after them, and weights."""
        self.program.assign(self.initial)
        history = [self.train(step, seed=step) for step in range(STEPS)]
        return history, self.evaluate(), self.program.variables()

    def evaluate(self):
        """Returns the outputs of an evaluation."""
        arrays = batch(seed=0)
        del arrays["targets_language"]
        evaluate = self.program.function(
            evaluation_step_builder(MODEL), signature(arrays), "evaluate"
        )
        return {name: np.asarray(x) for name, x in evaluate(0, **arrays).items()}


@functools.cache
def on_one_device():
    return Trained(Layout())


@pytest.mark.slow
def test_all_outputs_and_an_evaluation_are_those_of_one_device():
    """In a layout of all kinds at once.

    Layouts of one kind, encoders, and what else a run may have: test_agreement.
    """
    rules = (
        "outer_batch:outer;batch:batch;experts:batch;optimizer_state:outer;"
        "heads:model;d_ff:model;vocab:model"
    )
    split = Trained(Layout("outer:2;batch:2;model:2", rules))
    history, evaluation, variables = split.some_steps()
    one_history, one_evaluation, one_variables = on_one_device().some_steps()
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
    run = on_one_device()
    run.program.assign(run.initial)
    undisturbed = [run.train(step, seed=step) for step in range(MORE_STEPS)]
    run.program.assign(run.initial)
    for step, want in enumerate(undisturbed):
        got = run.train(step, seed=step)
        taken = run.program.variables()
        run.program.assign(taken)
        for value in taken.values():
            value.fill(np.nan)
        for name, value in want.items():
            np.testing.assert_array_equal(got[name], value, f"{name} at {step}")
    losses = [float(outputs["loss"]) for outputs in undisturbed]
    assert len(set(losses)) == len(losses) == MORE_STEPS


@pytest.mark.slow
def test_loss_falls_on_a_batch_seen_again():
    run = on_one_device()
    run.program.assign(run.initial)
    losses = [float(run.train(step, seed=0)["loss"]) for step in range(60)]
    assert losses[-1] < 0.5 * losses[0]
