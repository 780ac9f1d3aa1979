"""Layer normalization, with and without a mean.

Each is one operation with its gradient in closed form; statistics are float32 whatever
the dtype of the activations.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import ClassVar

import tensorflow as tf

from mtmoe.errors import UnknownNameError
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.mesh.initializers import ones, zeros
from mtmoe.mesh.sums import sum_to
from mtmoe.ranges import Positive, check_fields


@dataclasses.dataclass(frozen=True)
class Normalization:
    """Normalizes over the last dimension.

    Attributes:
      epsilon: added to the mean square.
    """

    epsilon: Positive
    centered: ClassVar[bool] = False  # whether the mean is taken away, and a bias added

    def __post_init__(self) -> None:
        """Checks the ranges."""
        check_fields(self)

    @property
    def num_parameters(self) -> int:
        """Parameters for each element of the dimension: a scale, and perhaps a bias."""
        return 1 + self.centered

    def __call__(
        self,
        context: GraphContext,
        x: mtf.Tensor,
        name: str,
        expert_dims: Sequence[mtf.Dimension] = (),
    ) -> mtf.Tensor:
        """Normalizes over the last dimension.

        Args:
          context: graph being built.
          x: [..., d_model], which may not be split over `d_model`.
          name: scope of the variables.
          expert_dims: leading dimensions of x whose values have variables of their own.

        Returns:
          A tensor of the shape and dtype of `x`.
        """
        shape, bias = [*expert_dims, x.shape.dims[-1]], None
        with context.scope(name):
            scale = context.variable("scale", shape, ones)
            if self.centered:
                bias = context.variable("bias", shape, zeros)
        return _normalize(x, scale, bias, self.epsilon)


@dataclasses.dataclass(frozen=True)
class RMSNorm(Normalization):
    """y = scale * x / sqrt(mean(x^2) + epsilon), without mean or bias.

    Zhang and Sennrich 2019, equation 4; T5's layer norm.
    """

    epsilon: Positive = 1e-6


@dataclasses.dataclass(frozen=True)
class LayerNorm(Normalization):
    """y = scale * (x - mean(x)) / sqrt(variance(x) + epsilon) + bias.

    Ba et al. 2016, equation 4.
    """

    epsilon: Positive = 1e-5
    centered: ClassVar[bool] = True


NORMALIZATIONS: dict[str, Callable[[], Normalization]] = {
    "rms_norm": RMSNorm,
    "layer_norm": LayerNorm,
}


def named_normalization(name: str) -> Normalization:
    """Returns the normalization of that name.

    Raises:
      UnknownNameError: there is none.
    """
    if name not in NORMALIZATIONS:
        raise UnknownNameError("normalization", name, NORMALIZATIONS)
    return NORMALIZATIONS[name]()


def _normalize(
    x: mtf.Tensor, scale: mtf.Tensor, bias: mtf.Tensor | None, epsilon: float
) -> mtf.Tensor:
    """Scales to unit mean square; a bias takes the mean away first.

    With n the normalized x, s = scale * dy and r = 1 / sqrt(mean square + epsilon):
    dx = r (s - n mean(n s)), from which the mean is taken away where there is a bias.
    """
    centered = bias is not None

    def spread(values: tf.Tensor) -> tf.Tensor:
        """float32, with an axis of 1 for each dimension of x that scales lack."""
        for axis, dim in enumerate(x.shape.dims):
            if dim not in scale.shape.dims:
                values = tf.expand_dims(values, axis)
        return tf.cast(values, tf.float32)

    def normalized(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        values = tf.cast(x, tf.float32)
        if centered:
            values -= tf.reduce_mean(values, axis=-1, keepdims=True)
        mean_square = tf.reduce_mean(tf.square(values), axis=-1, keepdims=True)
        # As a power: XLA compiles a root ten milliseconds longer, and there are many.
        inverse = tf.pow(mean_square + epsilon, -0.5)
        return values * inverse, inverse

    def forward(
        x: tf.Tensor, scale: tf.Tensor, bias: tf.Tensor | None = None
    ) -> tf.Tensor:
        y = normalized(x)[0] * spread(scale)
        if bias is not None:
            y += spread(bias)
        return tf.cast(y, x.dtype)

    def gradients(
        x: tf.Tensor, scale: tf.Tensor, dy: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        values, inverse = normalized(x)
        dy = tf.cast(dy, tf.float32)
        scaled = dy * spread(scale)
        inner = tf.reduce_mean(values * scaled, axis=-1, keepdims=True)
        dx = scaled - values * inner
        if centered:
            dx -= tf.reduce_mean(scaled, axis=-1, keepdims=True)
        return tf.cast(dx * inverse, x.dtype), dy * values

    def backward(operation: mtf.Operation, dy: mtf.Tensor) -> list[mtf.Tensor]:
        dx, d_scale = mtf.slicewise(
            gradients,
            [*operation.inputs[:2], dy],
            output_shape=[x.shape, x.shape],
            output_dtype=[x.dtype, tf.float32],
            splittable_dims=x.shape.dims[:-1],
            grad_function=0,
            name="normalize_gradient",
        )
        terms = [d_scale, mtf.cast(dy, tf.float32)] if centered else [d_scale]
        if scale.shape.ndims == 1:
            sums = [sum_to(term, scale.shape) for term in terms]
        else:
            sums = [mtf.reduce_sum(term, output_shape=scale.shape) for term in terms]
        return [dx, *(mtf.cast(total, scale.dtype) for total in sums)]

    return mtf.slicewise(
        forward,
        [x, scale] if bias is None else [x, scale, bias],
        output_shape=x.shape,
        output_dtype=x.dtype,
        splittable_dims=x.shape.dims[:-1],
        grad_function=backward,
        name="normalize",
    )
