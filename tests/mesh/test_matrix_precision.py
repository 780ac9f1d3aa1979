"""How exactly matrices are multiplied on hardware that could do it faster."""

import re

import numpy as np
import pytest
import tensorflow as tf
from jax.extend.mlir import ir
from jax.interpreters import mlir
from oracles.model_runner import tiny_decoder

from mtmoe.engine.program import MeshProgram
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.layout import Layout
from mtmoe.mesh.lowered import ProgramOptions, lower
from mtmoe.mesh.precision import named_precision
from mtmoe.mesh.products import rounding_einsum
from mtmoe.train.optimizers.adafactor import Adafactor
from mtmoe.train.step import step_features, train_step_builder

ROWS, DEPTH, COLUMNS = 6, 4, 5


def build_with(einsum):
    """A product and its two gradients."""

    def build(context, features):
        rows, depth, columns = (
            mtf.Dimension(name, size)
            for name, size in (("rows", ROWS), ("depth", DEPTH), ("columns", COLUMNS))
        )
        x = context.import_tensor(features["x"], mtf.Shape([rows, depth]))
        y = context.import_tensor(features["y"], mtf.Shape([depth, columns]))
        z = einsum([x, y], mtf.Shape([rows, columns]))
        loss = mtf.reduce_sum(mtf.square(z))
        x_gradient, y_gradient = mtf.gradients([loss], [x, y])
        return {"z": z, "x_gradient": x_gradient, "y_gradient": y_gradient}, []

    return build


SIGNATURE = {
    "x": tf.TensorSpec([ROWS, DEPTH], tf.float32),
    "y": tf.TensorSpec([DEPTH, COLUMNS], tf.float32),
}


def lowered(build, signature, precision="float32"):
    """A program as it is lowered for a TPU or a GPU."""
    options = ProgramOptions(Layout(), 0, True, named_precision(precision))
    return lower(build, signature, "program", options)


def on_a_cpu(einsum):
    """The program as it is lowered for the devices here, compiled."""
    return MeshProgram().function(build_with(einsum), SIGNATURE, "products")


def tiny_step():
    """A step of a small decoder of experts: its build function and features."""
    model = tiny_decoder(d_model=8, d_ff=16, num_heads=2, d_kv=4)
    build = train_step_builder(model, Adafactor(), lambda _: tf.constant(1e-2), 0)
    return build, step_features({"targets": 8}, 2)


def dots(program):
    with mlir.make_ir_context():
        text = str(ir.Module.parse(program.stablehlo))
    return [line for line in text.splitlines() if "stablehlo.dot" in line]


def precisions(program):
    lines = dots(program)
    found = [re.search(r"precision = \[(\w+), (\w+)\]", line) for line in lines]
    return [match.groups() if match else ("DEFAULT", "DEFAULT") for match in found]


@pytest.mark.parametrize(
    ("einsum", "precision"), [(mtf.einsum, "HIGHEST"), (rounding_einsum, "DEFAULT")]
)
def test_factors_are_rounded_where_that_was_asked_for_alone(einsum, precision):
    program = lowered(build_with(einsum), SIGNATURE)
    assert precisions(program) == [(precision, precision)] * 3


def test_a_cpu_is_not_asked_for_what_it_does_anyway():
    assert precisions(on_a_cpu(mtf.einsum).program) == [("DEFAULT", "DEFAULT")] * 3


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16_selective"])
def test_what_is_rounded_in_a_step(precision):
    """Nothing of float32, but for the logits where activations are bfloat16."""
    rounded = 0
    for line in dots(lowered(*tiny_step(), precision)):
        is_float32 = line.split(" : (")[1].count("f32>") == 3
        rounded += is_float32 and "HIGHEST" not in line
    assert rounded == (0 if precision == "float32" else 3)


@pytest.mark.slow
def test_no_sum_is_taken_by_windows():
    """The option that takes the pass out reaches the program of a step."""
    build, features = tiny_step()
    function = MeshProgram().function(build, features, "step", training=True)
    text = function.executable.compiled.as_text()
    assert " reduce(" in text
    assert "reduce-window" not in text


def test_on_a_cpu_both_are_the_same_product():
    random = np.random.default_rng(0)
    x = random.normal(size=[ROWS, DEPTH]).astype(np.float32)
    y = random.normal(size=[DEPTH, COLUMNS]).astype(np.float32)
    for einsum in (mtf.einsum, rounding_einsum):
        outputs = on_a_cpu(einsum)(0, x=x, y=y)
        np.testing.assert_allclose(outputs["z"], x @ y, rtol=1e-5)
        np.testing.assert_allclose(outputs["x_gradient"], 2 * x @ y @ y.T, rtol=1e-4)
        np.testing.assert_allclose(outputs["y_gradient"], 2 * x.T @ x @ y, rtol=1e-4)
