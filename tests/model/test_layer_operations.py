"""Normalizations and activations: values by numpy, gradients by TensorFlow's tape."""

import numpy as np
import pytest
import tensorflow as tf
from oracles.encoder_decoder_numpy import activation as numpy_activation
from oracles.model_runner import layout_program, run

from mtmoe.errors import UnknownNameError
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.model.activations import ACTIVATIONS, named_activation
from mtmoe.model.normalization import NORMALIZATIONS, named_normalization

BATCH, D_MODEL = mtf.Dimension("batch", 6), mtf.Dimension("d_model", 16)
SHAPE = mtf.Shape([BATCH, D_MODEL])


def arrays(seed=0):
    """Values that include far outliers, a gradient to come back, and gates."""
    generator = np.random.default_rng(seed)
    x, dy, b = generator.standard_normal([3, 6, 16]).astype(np.float32)
    x[0] *= 6.0
    return {"x": x + 1.0, "dy": dy, "b": b}


def plain_layer_norm(x, scale, bias):
    mean, variance = tf.nn.moments(x, axes=[-1], keepdims=True)
    return (x - mean) / tf.sqrt(variance + 1e-5) * scale + bias


def plain_rms_norm(x, scale):
    return x / tf.sqrt(tf.reduce_mean(x * x, -1, keepdims=True) + 1e-6) * scale


@pytest.mark.parametrize("mesh", [("", ""), ("batch:2", "batch:batch")])
def test_normalizations_and_their_gradients(mesh):
    given = arrays()
    weights = np.random.default_rng(7).standard_normal([2, 16]).astype(np.float32)

    def build(context: GraphContext, features):
        outputs = {}
        x = context.import_tensor(features["x"], SHAPE)
        dy = context.import_tensor(features["dy"], SHAPE)
        for name in NORMALIZATIONS:
            y = named_normalization(name)(context, x, name)
            outputs[name] = y
            variables = [
                v for v in context.mesh.graph.all_variables if v.name.startswith(name)
            ]
            inputs = [x, *(variable.outputs[0] for variable in variables)]
            gradients = mtf.gradients([y], inputs, grad_ys=[dy])
            for i, gradient in enumerate(gradients):
                outputs[f"{name} {i}"] = gradient
        return outputs

    variables = {
        "rms_norm/scale": weights[0],
        "layer_norm/scale": weights[0],
        "layer_norm/bias": weights[1],
    }
    got = run(build, given, variables, program=layout_program(*mesh)).outputs
    for name, plain in (("rms_norm", plain_rms_norm), ("layer_norm", plain_layer_norm)):
        parameters = [tf.constant(weights[i]) for i in range(2)]
        inputs = [tf.constant(given["x"]), *parameters[: 1 + (name == "layer_norm")]]
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            y = plain(*inputs)
        wanted = tape.gradient(y, inputs, output_gradients=tf.constant(given["dy"]))
        np.testing.assert_allclose(got[name], y, rtol=1e-5, atol=1e-5)
        for i, gradient in enumerate(wanted):
            np.testing.assert_allclose(
                got[f"{name} {i}"], gradient, rtol=1e-5, atol=1e-5, err_msg=name
            )


def test_statistics_of_bfloat16_are_float32():
    """Mean and mean square of values whose sum bfloat16 cannot hold."""
    values = (300.0 + np.arange(16) % 2)[np.newaxis].astype(np.float32)
    shape = mtf.Shape([mtf.Dimension("batch", 1), D_MODEL])

    def build(context, features):
        x = mtf.cast(context.import_tensor(features["x"], shape), tf.bfloat16)
        return {
            name: mtf.cast(named_normalization(name)(context, x, name), tf.float32)
            for name in NORMALIZATIONS
        }

    outputs = run(build, {"x": values}).outputs
    seen = np.asarray(tf.cast(tf.cast(values, tf.bfloat16), tf.float32))
    rms = seen / np.sqrt(np.square(seen).mean())
    np.testing.assert_allclose(outputs["rms_norm"], rms, rtol=1e-2)
    centred = seen - seen.mean()
    wanted = centred / np.sqrt(np.square(centred).mean() + 1e-5)
    np.testing.assert_allclose(outputs["layer_norm"], wanted, atol=1e-2)


def test_activations_and_their_gradients():
    given = arrays(1)

    def build(context, features):
        outputs = {}
        x, dy, b = (context.import_tensor(features[k], SHAPE) for k in ("x", "dy", "b"))
        for name, activation in ACTIVATIONS.items():
            inputs = [x, b] if activation.gated else [x]
            outputs[name] = activation(*inputs)
            gradients = mtf.gradients([outputs[name]], inputs, grad_ys=[dy])
            for i, gradient in enumerate(gradients):
                outputs[f"{name} {i}"] = gradient
        return outputs

    got = run(build, given).outputs
    x, b = given["x"].astype(np.float64), given["b"]
    plain = {
        "relu": tf.nn.relu,
        "gelu": lambda x: tf.nn.gelu(x, approximate=True),
        "gelu_exact": lambda x: tf.nn.gelu(x, approximate=False),
        "silu": tf.nn.silu,
    }
    gates = {"geglu": "gelu", "swiglu": "silu"}
    for name in ACTIVATIONS:
        wanted = numpy_activation(gates.get(name, name), x)
        wanted = wanted * b if name in gates else wanted
        np.testing.assert_allclose(got[name], wanted, rtol=1e-5, atol=1e-5)
        inputs = [tf.constant(given[k]) for k in ("xb" if name in gates else "x")]
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            y = plain[gates.get(name, name)](inputs[0])
            y = y * inputs[1] if name in gates else y
        gradients = tape.gradient(y, inputs, output_gradients=tf.constant(given["dy"]))
        for i, gradient in enumerate(gradients):
            np.testing.assert_allclose(
                got[f"{name} {i}"], gradient, rtol=1e-5, atol=1e-5, err_msg=name
            )


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(UnknownNameError, match="gelu"):
        named_activation("gelue")
    with pytest.raises(UnknownNameError, match="layer_norm"):
        named_normalization("layernorm")
