"""A mesh program: the same numbers whatever the layout or the process."""

import hashlib

import numpy as np
import pytest
import tensorflow as tf
from oracles.forked_commands import ForkedProcess

from mtmoe.engine.program import MeshProgram
from mtmoe.errors import CheckpointError
from mtmoe.mesh import initializers
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.layout import Layout
from mtmoe.mesh.random import name_key, slice_bits, uniform_from_bits

BATCH, D_MODEL, D_FF = (
    mtf.Dimension("batch", 8),
    mtf.Dimension("d_model", 4),
    mtf.Dimension("d_ff", 6),
)
X = np.arange(32, dtype=np.float32).reshape(8, 4) / 10
SIGNATURE = {"x": tf.TensorSpec([8, 4], tf.float32)}
LAYOUTS = [
    Layout(),
    Layout("batch:2", "batch:batch"),
    Layout("model:2", "d_ff:model"),
    Layout("batch:4", "batch:batch"),
    Layout("batch:2;model:2", "batch:batch;d_ff:model"),
]


def train_step(context, features):
    x = context.import_tensor(features["x"], mtf.Shape([BATCH, D_MODEL]))
    with context.scope("layer"):
        w = context.variable(
            "w", mtf.Shape([D_MODEL, D_FF]), initializers.truncated_normal(0.5)
        )
        hidden = context.dropout(mtf.einsum([x, w], [BATCH, D_FF]), 0.3)
    loss = mtf.reduce_mean(mtf.square(hidden))
    gradient = mtf.gradients([loss], [w])[0]
    return {"loss": loss}, [mtf.assign_sub(w, gradient * 0.1)]


def losses(program, steps=6):
    step = program.function(train_step, SIGNATURE, "step", training=True)
    return [float(step(index, x=X)["loss"]) for index in range(steps)]


def numpy_losses(weights, masks, steps=6):
    """The same training by hand, given the dropout masks."""
    values = []
    for index in range(steps):
        scale = masks[index] / 0.7
        hidden = X @ weights * scale
        values.append(float(np.mean(hidden**2)))
        weights = weights - 0.1 * (X.T @ (2 * hidden * scale / hidden.size))
    return values


@pytest.fixture(scope="module")
def reference():
    return losses(MeshProgram(seed=3))


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.mesh_shape)
def test_layouts_agree(layout, reference):
    program = MeshProgram(layout, seed=3)
    np.testing.assert_allclose(losses(program), reference, rtol=1e-5)
    assert program.parameter_count() == 24


def test_numpy_oracle(reference):
    weights = initializers.truncated_normal(0.5)([4, 6], name_key(3, "layer/w"))
    masks = [
        uniform_from_bits(
            slice_bits(
                name_key(3, "layer/dropout"), tf.constant(index), [8, 6], [0, 0]
            ),
            0.0,
            1.0,
        ).numpy()
        >= 0.3
        for index in range(6)
    ]
    np.testing.assert_allclose(
        numpy_losses(np.asarray(weights), masks), reference, rtol=1e-5
    )


@pytest.mark.parametrize("layout", [LAYOUTS[0], LAYOUTS[4]], ids=["one", "four"])
def test_values_leave_and_return(layout):
    program = MeshProgram(layout, seed=3)
    step = program.function(train_step, SIGNATURE, "step", training=True)
    for index in range(2):
        step(index, x=X)
    values = program.variables()
    after = float(step(2, x=X)["loss"])
    other = MeshProgram(layout, seed=99)
    resumed = other.function(train_step, SIGNATURE, "step", training=True)
    program.assign(values)
    assert float(step(2, x=X)["loss"]) == after
    other.assign(values)
    assert float(resumed(2, x=X)["loss"]) != after  # other noise, by its own seed


def test_two_functions_share_variables_while_one_trains():
    def evaluate(context, features):
        x = context.import_tensor(features["x"], mtf.Shape([BATCH, D_MODEL]))
        with context.scope("layer"):
            w = context.variable("w", mtf.Shape([D_MODEL, D_FF]), initializers.zeros)
        return {"sum": mtf.reduce_sum(mtf.einsum([x, w], [BATCH, D_FF]))}, []

    for layout in (LAYOUTS[0], LAYOUTS[1]):
        program = MeshProgram(layout, seed=3)
        step = program.function(train_step, SIGNATURE, "step", training=True)
        step(0, x=X)
        trained = program.variables()["layer/w"]
        look = program.function(evaluate, SIGNATURE, "evaluate")
        np.testing.assert_array_equal(program.variables()["layer/w"], trained)
        assert float(look(0, x=X)["sum"]) == pytest.approx(
            (X @ trained).sum(), rel=1e-5
        )
        step(1, x=X)
        now = program.variables()["layer/w"]
        assert float(look(0, x=X)["sum"]) == pytest.approx((X @ now).sum(), rel=1e-5)


def test_assign_refuses_what_does_not_fit():
    program = MeshProgram(seed=3)
    program.function(train_step, SIGNATURE, "step", training=True)
    before = program.variables()["layer/w"]
    with pytest.raises(CheckpointError, match=r"1 missing \['layer/w'\], 1 unknown"):
        program.assign({"layer/v": before})
    with pytest.raises(CheckpointError, match="has shape"):
        program.assign({"layer/w": before.T})
    np.testing.assert_array_equal(program.variables()["layer/w"], before)


def test_features_are_checked():
    step = MeshProgram(seed=3).function(train_step, SIGNATURE, "step")
    with pytest.raises(ValueError, match=r"takes \['x'\], got \['y'\]"):
        step(0, y=X)
    with pytest.raises(ValueError, match="x must have shape"):
        step(0, x=X[:4])


def test_evaluation_draws_no_noise():
    program = MeshProgram(seed=3)
    plain = program.function(train_step, SIGNATURE, "plain", training=False)
    weights = program.variables()["layer/w"]
    assert float(plain(0, x=X)["loss"]) == pytest.approx(
        float(np.mean((X @ weights) ** 2)), rel=1e-5
    )


@pytest.mark.parametrize("layout", LAYOUTS[:2], ids=["one", "two"])
def test_outputs_see_the_variables_before_the_update(layout):
    """Even an output that is no ancestor of the assignment."""
    wide = mtf.Dimension("batch", 1 << 16)

    def build(context, features):
        w = context.variable("w", mtf.Shape([wide]), initializers.zeros)
        x = context.import_tensor(features["x"], mtf.Shape([wide]))
        return {"y": w + x}, [mtf.assign_add(w, x)]

    program = MeshProgram(layout)
    run = program.function(build, {"x": tf.TensorSpec([1 << 16])}, "step")
    x = np.ones(1 << 16, np.float32)
    for step in range(20):
        assert np.all(np.asarray(run(step, x=x)["y"]) == step + 1)
        assert np.all(program.variables()["w"] == step + 1)


def test_a_function_without_outputs_is_refused():
    with pytest.raises(ValueError, match="idle has no outputs"):
        MeshProgram().function(lambda context, features: ({}, []), SIGNATURE, "idle")


def test_a_name_is_drawn_once():
    def twice(context, features):
        context.uniform("noise", mtf.Shape([BATCH]))
        context.uniform("noise", mtf.Shape([BATCH]))

    with pytest.raises(ValueError, match="'noise' were already drawn"):
        MeshProgram().function(twice, SIGNATURE, "twice", training=True)


def print_digest_of_trained_weights():
    print(hash("a text"), _digest_of_trained_weights())


def _digest_of_trained_weights():
    program = MeshProgram(seed=3)
    losses(program, steps=10)
    return hashlib.sha256(program.variables()["layer/w"].tobytes()).hexdigest()


def test_processes_with_different_hash_seeds_end_bit_equal(tmp_path):
    other = ForkedProcess(print_digest_of_trained_weights, (), tmp_path)
    here = _digest_of_trained_weights()
    output, errors = other.communicate()
    hashed, there = output.split()
    assert there == here, errors
    assert int(hashed) != hash("a text"), "the seeds of the hashes are to differ"
