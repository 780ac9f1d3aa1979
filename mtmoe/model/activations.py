"""Activations of feed-forward networks, each one operation forward and one backward."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import tensorflow as tf

from mtmoe.errors import UnknownNameError
from mtmoe.mesh.compat import mtf

_TANH_SCALE = math.sqrt(2.0 / math.pi)
_CUBIC = 0.044715


@dataclasses.dataclass(frozen=True)
class Activation:
    """A function f, and whether it gates a second projection: f(a) or f(a) * b.

    Attributes:
      function: f, of one array.
      derivative: f', of the same.
      gated: whether there is a b.
    """

    function: Callable[[tf.Tensor], tf.Tensor]
    derivative: Callable[[tf.Tensor], tf.Tensor]
    gated: bool = False

    def __call__(self, *projections: mtf.Tensor) -> mtf.Tensor:
        """Applies it to one projection, or to the gate and what it gates."""

        def forward(a: tf.Tensor, *b: tf.Tensor) -> tf.Tensor:
            return self.function(a) * b[0] if b else self.function(a)

        def gradients(a: tf.Tensor, *others: tf.Tensor) -> tuple[tf.Tensor, ...]:
            *b, dy = others
            if not b:
                return (self.derivative(a) * dy,)
            return self.derivative(a) * dy * b[0], self.function(a) * dy

        def backward(operation: mtf.Operation, dy: mtf.Tensor) -> list[mtf.Tensor]:
            count = len(operation.inputs)
            return list(
                mtf.slicewise(
                    gradients if count > 1 else lambda a, dy: gradients(a, dy)[0],
                    [*operation.inputs, dy],
                    output_shape=[dy.shape] * count,
                    output_dtype=[dy.dtype] * count,
                    splittable_dims=dy.shape.dims,
                    grad_function=0,
                    name="activation_gradient",
                )
            )

        return mtf.slicewise(
            forward,
            list(projections),
            splittable_dims=projections[0].shape.dims,
            grad_function=backward,
            name="activation",
        )


def named_activation(name: str) -> Activation:
    """Returns the activation of that name.

    Raises:
      UnknownNameError: there is none.
    """
    if name not in ACTIVATIONS:
        raise UnknownNameError("activation", name, ACTIVATIONS)
    return ACTIVATIONS[name]


def _relu_derivative(x: tf.Tensor) -> tf.Tensor:
    return tf.cast(x > 0, x.dtype)


def _tanh_of_gelu(x: tf.Tensor) -> tf.Tensor:
    return tf.tanh(_TANH_SCALE * (x + _CUBIC * x * x * x))


def _gelu(x: tf.Tensor) -> tf.Tensor:
    return 0.5 * x * (1.0 + _tanh_of_gelu(x))


def _gelu_derivative(x: tf.Tensor) -> tf.Tensor:
    tanh = _tanh_of_gelu(x)
    inner = _TANH_SCALE * (1.0 + 3.0 * _CUBIC * x * x)
    return 0.5 * (1.0 + tanh) + 0.5 * x * (1.0 - tanh * tanh) * inner


def _normal_distribution(x: tf.Tensor) -> tf.Tensor:
    return 0.5 * (1.0 + tf.math.erf(x * math.sqrt(0.5)))


def _gelu_exact(x: tf.Tensor) -> tf.Tensor:
    return x * _normal_distribution(x)


def _gelu_exact_derivative(x: tf.Tensor) -> tf.Tensor:
    density = tf.exp(-0.5 * x * x) * (1.0 / math.sqrt(2.0 * math.pi))
    return _normal_distribution(x) + x * density


def _silu(x: tf.Tensor) -> tf.Tensor:
    return x * tf.sigmoid(x)


def _silu_derivative(x: tf.Tensor) -> tf.Tensor:
    sigmoid = tf.sigmoid(x)
    return sigmoid * (1.0 + x * (1.0 - sigmoid))


# GELU is Hendrycks and Gimpel's (2016): "gelu" by tanh, as in T5, GPT-2 and Mesh
# TensorFlow, "gelu_exact" by the error function, as in fairseq. The gated ones are
# Shazeer's (2020, equations 5 and 6); T5 1.1 calls geglu "gated-gelu".
ACTIVATIONS: dict[str, Activation] = {
    "relu": Activation(tf.nn.relu, _relu_derivative),
    "gelu": Activation(_gelu, _gelu_derivative),
    "gelu_exact": Activation(_gelu_exact, _gelu_exact_derivative),
    "silu": Activation(_silu, _silu_derivative),
    "geglu": Activation(_gelu, _gelu_derivative, gated=True),
    "swiglu": Activation(_silu, _silu_derivative, gated=True),
}
