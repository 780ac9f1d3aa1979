"""Outputs of the training and evaluation steps against the model they are made of."""

import functools

import numpy as np
import pytest
import tensorflow as tf
from oracles.model_runner import random_batch, segmented, tiny_model, tiny_moe

from mtmoe.engine.program import MeshProgram
from mtmoe.evaluate.step import evaluation_step_builder
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.layout import Layout
from mtmoe.model.moe.routers.switch import SwitchRouter
from mtmoe.train.step import train_step_builder


class GradientDescent:
    """w -= learning rate * gradient, so that the updates show the gradients."""

    def updates(self, context, gradients, learning_rate):
        rate = context.import_tensor(learning_rate, mtf.Shape([]))
        return [mtf.assign_sub(variable, grad * rate) for variable, grad in gradients]


ONE, TWO = Layout(), Layout("batch:2", "batch:batch;experts:batch")


def schedule(step):
    return 0.25 / tf.cast(step + 1, tf.float32)


def small_model(**fields):
    return tiny_model(num_encoder_layers=1, num_decoder_layers=1, **fields)


def roomy_model():
    """Experts in both layers, which drop nothing and see no noise."""
    router = SwitchRouter(jitter_epsilon=0.0)
    moe = tiny_moe(router=router, train_factor=4.0)
    return small_model(expert_layer_every=1, moe=moe)


@functools.cache
def made_step(model, signature, layout, num_languages, packed, logit_z_loss):
    """Returns a program, its training step and its initial values, made once."""
    program = MeshProgram(layout)
    build = train_step_builder(
        model, GradientDescent(), schedule, num_languages, packed, logit_z_loss
    )
    step = program.function(build, dict(signature), "train", training=True)
    return program, step, program.variables()


def one_step(
    model,
    batch,
    layout=ONE,
    num_languages=0,
    packed=False,
    logit_z_loss=1e-4,
    start=None,
):
    """Returns outputs and the variables before and after one step, from `start` on."""
    batch = segmented(batch)
    signature = tuple(
        (name, tf.TensorSpec(x.shape, x.dtype)) for name, x in batch.items()
    )
    program, step, before = made_step(
        model, signature, layout, num_languages, packed, logit_z_loss
    )
    program.assign(before if start is None else start)
    outputs = {name: np.asarray(x) for name, x in step(1, **batch).items()}
    return outputs, before, program.variables()


@functools.cache
def made_evaluation(model, signature):
    """Returns a program and its evaluation step, made once."""
    program = MeshProgram()
    build = evaluation_step_builder(model)
    return program, program.function(build, dict(signature), "evaluate")


def evaluation(model, batch, variables):
    """Returns the outputs of the evaluation step."""
    signature = tuple(
        (name, tf.TensorSpec(x.shape, x.dtype)) for name, x in batch.items()
    )
    program, step = made_evaluation(model, signature)
    program.assign({name: variables[name] for name in program.variable_names()})
    return {name: np.asarray(x) for name, x in step(0, **batch).items()}


@pytest.fixture(scope="module")
def stepped():
    model, batch = roomy_model(), random_batch()
    return model, batch, *one_step(model, batch, logit_z_loss=0.0)


def test_loss_and_accuracy_are_over_target_tokens(stepped):
    model, batch, outputs, before, _ = stepped
    evaluated = evaluation(model, batch, before)
    tokens = batch["targets"] != 0
    assert np.all(evaluated["token_loss"][~tokens] == 0.0)
    # Capacity differs between training and evaluation; nothing is dropped in either.
    assert outputs["dropped_fraction"] == evaluated["dropped_counts"].sum() == 0.0
    np.testing.assert_allclose(
        outputs["loss"], evaluated["token_loss"].sum() / tokens.sum(), rtol=1e-5
    )
    hits = (evaluated["predictions"] == batch["targets"])[tokens]
    np.testing.assert_allclose(outputs["accuracy"], hits.mean(), rtol=1e-6)


def test_token_0_inside_a_text_is_a_token_in_evaluation_too(stepped):
    model, batch, _, before, _ = stepped
    segments = {f"{name}_segments": np.int32(ids != 0) for name, ids in batch.items()}
    batch = {name: ids.copy() for name, ids in batch.items()}
    batch["inputs"][0, 3] = batch["targets"][0, 2] = 0
    trained, _, _ = one_step(model, batch | segments, logit_z_loss=0.0)
    evaluated = evaluation(model, batch, before)
    is_target = segments["targets_segments"] == 1
    np.testing.assert_array_equal(evaluated["token_loss"] > 0, is_target)
    np.testing.assert_allclose(
        trained["loss"], evaluated["token_loss"].sum() / is_target.sum(), rtol=1e-5
    )
    lengths = [segments[f"{name}_segments"].sum(1) for name in ("inputs", "targets")]
    np.testing.assert_array_equal(evaluated["expert_counts"].sum(-1).T, lengths)


def test_evaluation_counts_tokens_of_each_example_by_layer(stepped):
    model, batch, _, before, _ = stepped
    evaluated = evaluation(model, batch, before)
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

    def objective(variables):
        out, _, _ = one_step(model, batch, logit_z_loss=0.0, start=variables)
        return float(out["loss"] + out["balance_loss"] + out["z_loss"])

    generator = np.random.default_rng(0)
    for name in names:
        gradient = gradients[name]
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
    outputs, before, _ = one_step(model, batch, logit_z_loss=0.1)
    assert set(outputs) == {"loss", "accuracy", "learning_rate", "gradient_norm"}
    evaluated = evaluation(model, batch, before)
    assert set(evaluated) == {"token_loss", "predictions"}


def test_batch_without_target_tokens_changes_little_and_is_finite():
    batch = random_batch()
    batch["targets"][:] = 0
    outputs, _, after = one_step(roomy_model(), batch, logit_z_loss=0.0)
    assert outputs["loss"] == outputs["accuracy"] == 0.0
    assert all(np.all(np.isfinite(value)) for value in after.values())


def packed_batch():
    """Two packed rows, three languages and none, token 0 inside a text."""
    return {
        "inputs": np.array(
            [[5, 0, 7, 9, 8, 4, 0, 0], [11, 12, 13, 0, 0, 0, 0, 0]], np.int32
        ),
        "inputs_segments": np.array(
            [[1, 1, 1, 2, 2, 2, 0, 0], [1, 1, 1, 0, 0, 0, 0, 0]], np.int32
        ),
        "inputs_language": np.array([[0, 0, 0, 2, 2, 2, -1, -1], [-1] * 8], np.int32),
        "targets": np.array([[3, 0, 6, 7, 0], [2, 9, 1, 5, 0]], np.int32),
        "targets_segments": np.array([[1, 1, 2, 2, 0], [1, 1, 1, 1, 0]], np.int32),
        "targets_language": np.array([[0, 0, 2, 2, -1], [-1] * 5], np.int32),
    }


def test_sums_by_language_count_segments_and_never_padding():
    model = roomy_model()
    outputs, _, _ = one_step(model, packed_batch(), num_languages=3, packed=True)
    assert outputs["language_tokens"].tolist() == [2.0, 0.0, 2.0]
    assert outputs["language_loss"][1] == 0.0
    assert np.all(outputs["language_loss"][[0, 2]] > 0.0)
    assert outputs["language_experts"].shape == (2, 3, 4)
    np.testing.assert_array_equal(
        outputs["language_experts"].sum(-1), [[3, 0, 3], [2, 0, 2]]
    )
    # The loss is the mean over the eight target tokens, those of no language too.
    batch = packed_batch()
    batch["targets_language"] = np.where(batch["targets_segments"] > 0, 1, -1)
    batch["targets_language"] = batch["targets_language"].astype(np.int32)
    as_one, _, _ = one_step(model, batch, num_languages=3, packed=True)
    assert as_one["language_tokens"].tolist() == [0.0, 8.0, 0.0]
    np.testing.assert_allclose(
        as_one["language_loss"][1] / 8, outputs["loss"], rtol=1e-5
    )
    np.testing.assert_allclose(as_one["loss"], outputs["loss"], rtol=1e-6)


def test_sums_by_language_do_not_depend_on_the_layout():
    model = roomy_model()
    arguments = {"num_languages": 3, "packed": True}
    one, _, after_one = one_step(model, packed_batch(), **arguments)
    two, _, after_two = one_step(model, packed_batch(), TWO, **arguments)
    np.testing.assert_array_equal(one["language_experts"], two["language_experts"])
    np.testing.assert_array_equal(one["language_tokens"], two["language_tokens"])
    for name, value in one.items():
        np.testing.assert_allclose(two[name], value, rtol=1e-5, err_msg=name)
    for name, value in after_one.items():
        np.testing.assert_allclose(
            after_two[name], value, rtol=1e-4, atol=1e-5, err_msg=name
        )


def test_packing_a_batch_changes_neither_its_loss_nor_its_gradient():
    """Two examples in a row of their own, or both in one: the same step."""
    model = roomy_model()
    packed = packed_batch()
    alone = {name: np.zeros([3, x.shape[1]], x.dtype) for name, x in packed.items()}
    for row, (source, segment) in enumerate([(0, 1), (0, 2), (1, 1)]):
        for name in ("inputs", "targets"):
            places = packed[f"{name}_segments"][source] == segment
            size = places.sum()
            alone[name][row, :size] = packed[name][source, places]
            alone[f"{name}_segments"][row, :size] = 1
            alone[f"{name}_language"][row] = -1
            alone[f"{name}_language"][row, :size] = packed[f"{name}_language"][
                source, places
            ]
    one, _, after_packed = one_step(model, packed, num_languages=3, packed=True)
    two, _, after_alone = one_step(model, alone, num_languages=3, packed=False)
    assert one["dropped_fraction"] == two["dropped_fraction"] == 0.0
    for name, value in one.items():
        np.testing.assert_allclose(two[name], value, rtol=1e-4, err_msg=name)
    for name, value in after_packed.items():
        np.testing.assert_allclose(
            after_alone[name], value, rtol=1e-4, atol=1e-5, err_msg=name
        )
