"""Outputs of the training and evaluation steps against the model they are made of."""

import numpy as np
import pytest
import tensorflow as tf
from oracles.model_runner import random_batch, run, tiny_model, tiny_moe

from mtmoe.evaluate.step import evaluation_step_builder
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.program import MeshProgram
from mtmoe.model.moe.routers.switch import SwitchRouter
from mtmoe.train.step import train_step_builder


class GradientDescent:
    """w -= learning rate * gradient, so that the updates show the gradients."""

    def updates(self, context, gradients, learning_rate):
        rate = context.import_tensor(learning_rate, mtf.Shape([]))
        return [mtf.assign_sub(variable, grad * rate) for variable, grad in gradients]


def schedule(step):
    return 0.25 / tf.cast(step + 1, tf.float32)


def small_model(**fields):
    return tiny_model(num_encoder_layers=1, num_decoder_layers=1, **fields)


def one_step(model, batch, **arguments):
    """Returns the outputs and the variables before and after one training step."""
    program = MeshProgram(jit_compile=False)
    signature = {name: tf.TensorSpec(x.shape, x.dtype) for name, x in batch.items()}
    build = train_step_builder(model, GradientDescent(), schedule, **arguments)
    step = program.function(build, signature, "train", training=True)
    before = program.variables()
    outputs = {name: x.numpy() for name, x in step(1, **batch).items()}
    return outputs, before, program.variables()


@pytest.fixture(scope="module")
def stepped():
    router = SwitchRouter(jitter_epsilon=0.0)
    model = small_model(
        expert_layer_every=1, moe=tiny_moe(router=router, train_factor=4.0)
    )
    batch = random_batch()
    return model, batch, *one_step(model, batch)


def test_loss_and_accuracy_are_over_target_tokens(stepped):
    model, batch, outputs, before, _ = stepped
    build = evaluation_step_builder(model)
    evaluated = run(lambda *args: build(*args)[0], batch, before).outputs
    tokens = batch["targets"] != 0
    assert np.all(evaluated["token_loss"][~tokens] == 0.0)
    # Capacity differs between training and evaluation; nothing is dropped in either.
    assert outputs["dropped_fraction"] == evaluated["dropped_counts"].sum() == 0.0
    np.testing.assert_allclose(
        outputs["loss"], evaluated["token_loss"].sum() / tokens.sum(), rtol=1e-5
    )
    hits = (evaluated["predictions"] == batch["targets"])[tokens]
    np.testing.assert_allclose(outputs["accuracy"], hits.mean(), rtol=1e-6)


def test_evaluation_counts_tokens_of_each_example_by_layer(stepped):
    model, batch, _, before, _ = stepped
    build = evaluation_step_builder(model)
    evaluated = run(lambda *args: build(*args)[0], batch, before).outputs
    assert evaluated["expert_counts"].shape == (4, 2, 4)
    lengths = [(batch[name] != 0).sum(1) for name in ("inputs", "targets")]
    np.testing.assert_array_equal(evaluated["expert_counts"].sum(-1).T, lengths)
    assert evaluated["dropped_counts"].shape == (4, 2)


def test_step_descends_the_gradient_of_loss_plus_auxiliary_losses(stepped):
    model, batch, outputs, before, after = stepped
    assert outputs["learning_rate"] == np.float32(0.125)
    names = [
        "embedding",
        "encoder/layer_000/moe/router",
        "encoder/layer_000/moe/experts/wi",
        "encoder/relative_position_bias",
        "decoder/layer_000/cross_attention/v",
        "decoder/final_norm/scale",
    ]
    gradients = {n: (before[n] - after[n]) / 0.125 for n in before}
    norm = np.sqrt(sum(np.square(g).sum() for g in gradients.values()))
    np.testing.assert_allclose(outputs["gradient_norm"], norm, rtol=1e-4)

    program = MeshProgram(jit_compile=False)
    signature = {name: tf.TensorSpec(x.shape, x.dtype) for name, x in batch.items()}

    class Still:
        def updates(self, context, gradients, learning_rate):
            return []

    build = train_step_builder(model, Still(), schedule, logit_z_loss=0.0)
    step = program.function(build, signature, "train", training=True)

    def objective(variables):
        program.assign(variables)
        out = step(1, **batch)
        total = out["loss"] + out["balance_loss"] + out["z_loss"]
        return float(total)

    generator = np.random.default_rng(0)
    without_z, _, stepped_to = one_step(model, batch, logit_z_loss=0.0)
    assert without_z["loss"] == outputs["loss"]
    for name in names:
        gradient = (before[name] - stepped_to[name]) / 0.125
        direction = gradient + 0.1 * generator.standard_normal(gradient.shape) * (
            np.abs(gradient).mean()
        )
        direction /= np.sqrt(np.square(direction).sum())
        expected = float((gradient * direction).sum())
        shift = 2e-3 * direction
        measured = (
            objective(before | {name: before[name] + shift})
            - objective(before | {name: before[name] - shift})
        ) / 4e-3
        np.testing.assert_allclose(measured, expected, rtol=0.03, err_msg=name)


def test_logit_z_loss_moves_the_weights_but_not_the_reported_loss():
    batch, model = random_batch(), small_model(moe=None)
    plain, _, after_plain = one_step(model, batch, logit_z_loss=0.0)
    with_z, _, after_z = one_step(model, batch, logit_z_loss=0.1)
    assert plain["loss"] == with_z["loss"]
    assert np.abs(after_plain["embedding"] - after_z["embedding"]).max() > 1e-5


def test_dense_model_has_no_routing_outputs():
    batch, model = random_batch(), small_model(moe=None)
    outputs, _, _ = one_step(model, batch)
    assert set(outputs) == {"loss", "accuracy", "learning_rate", "gradient_norm"}
    build = evaluation_step_builder(model)
    evaluated = run(lambda *args: build(*args)[0], batch).outputs
    assert set(evaluated) == {"token_loss", "predictions"}


def test_batch_without_target_tokens_changes_little_and_is_finite():
    batch = random_batch()
    batch["targets"][:] = 0
    outputs, _, after = one_step(small_model(), batch)
    assert outputs["loss"] == outputs["accuracy"] == 0.0
    assert all(np.all(np.isfinite(value)) for value in after.values())
