"""Root-mean-square layer normalization."""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.mesh.initializers import ones


@dataclasses.dataclass(frozen=True)
class RMSNorm:
    """y = scale * x / sqrt(mean(x^2) + epsilon), without mean or bias.

    Zhang and Sennrich 2019, equation 4; T5's layer norm. Computed in float32 whatever
    the dtype of the activations.

    Attributes:
      epsilon: added to the mean square.
    """

    epsilon: float = 1e-6

    def __call__(self, context: GraphContext, x: mtf.Tensor, name: str) -> mtf.Tensor:
        """Normalizes over `d_model`.

        Args:
          context: graph being built.
          x: [..., d_model].
          name: scope of the variable `scale`.

        Returns:
          A tensor of the shape and dtype of `x`.
        """
        d_model = x.shape.dims[-1]
        with context.scope(name):
            scale = context.variable("scale", [d_model], ones)
        values = mtf.cast(x, tf.float32)
        mean_square = mtf.reduce_mean(mtf.square(values), reduced_dim=d_model)
        values *= mtf.rsqrt(mean_square + self.epsilon)
        return mtf.cast(values, x.dtype) * scale
