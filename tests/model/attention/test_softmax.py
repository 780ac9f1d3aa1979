"""Attention weights and their gradients, against TensorFlow's own."""

import numpy as np
import pytest
import tensorflow as tf
from oracles.mesh_runner import run_mesh, with_gradients

from mtmoe.mesh.compat import mtf
from mtmoe.model.attention.softmax import softmax

NAMES = ("batch", "heads", "length", "memory_length")
SIZES = (2, 4, 8, 6)
DIMS = dict(zip(NAMES, map(mtf.Dimension, NAMES, SIZES), strict=True))

# A relative bias, a mask of keys, one of pairs, and a slope a head.
BIASES = {
    "relative": NAMES[1:],
    "keys": ("batch", "memory_length"),
    "pairs": ("batch", "length", "memory_length"),
    "slope": ("heads",),
}


@pytest.mark.parametrize(
    ("mesh_shape", "layout_rules"),
    [("", ""), ("batch:2;model:2", "batch:batch;heads:model")],
)
def test_softmax_of_logits_and_biases(mesh_shape, layout_rules):
    rng = np.random.default_rng(0)
    shapes = {"logits": NAMES, "weights": NAMES} | BIASES
    arrays = {
        name: rng.normal(size=[DIMS[dim].size for dim in dims]).astype(np.float32)
        for name, dims in shapes.items()
    }

    def build(context, features):
        given = {
            name: context.import_tensor(features[name], [DIMS[dim] for dim in dims])
            for name, dims in shapes.items()
        }
        weights = given.pop("weights")
        y = softmax(given["logits"], [given[name] for name in BIASES])
        return with_gradients({"y": y}, {"y": weights}, given)

    outputs = run_mesh(build, arrays, mesh_shape, layout_rules)
    given = {name: tf.constant(array) for name, array in arrays.items()}
    weights = given.pop("weights")
    with tf.GradientTape() as tape:
        tape.watch(given)
        logits = given["logits"]
        for name, dims in BIASES.items():
            shape = [DIMS[dim].size if dim in dims else 1 for dim in NAMES]
            logits += tf.reshape(given[name], shape)
        y = tf.nn.softmax(logits)
        total = tf.reduce_sum(y * weights)
    np.testing.assert_allclose(outputs["y"], y, atol=1e-6)
    for name, gradient in tape.gradient(total, given).items():
        np.testing.assert_allclose(
            outputs[f"grad_{name}"], gradient, rtol=1e-5, atol=1e-5, err_msg=name
        )
