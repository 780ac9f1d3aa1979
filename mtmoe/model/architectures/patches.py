"""Patch embeddings: places that hold numbers, as pixels of an image, and no tokens.

Dosovitskiy et al. 2021, equation 1, without the class token: a patch [channels] becomes
patch W + b [d_model].
"""

from __future__ import annotations

import dataclasses

import gin

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.mesh.initializers import zeros
from mtmoe.model.counts import ForwardFlops, Lengths, ParameterCount, Sizes
from mtmoe.model.features import Tokens
from mtmoe.model.initialization import scaled_normal
from mtmoe.model.t5 import T5Fields
from mtmoe.ranges import Count, Positive, check_fields


@gin.configurable
@dataclasses.dataclass(frozen=True)
class PatchEmbedding:
    """One projection of every patch; a model's `inputs`.

    Attributes:
      channels: numbers a patch.
    """

    channels: Count

    def __post_init__(self) -> None:
        """Checks the range."""
        check_fields(self)

    def __call__(self, model: T5Fields) -> PatchProjection:
        """Makes the embedding."""
        return PatchProjection(model.d_model, self.channels, model.initialization_scale)


@dataclasses.dataclass(frozen=True)
class PatchProjection:
    """patch W + b.

    Attributes:
      d_model: width of what it makes.
      channels: numbers a patch.
      initialization_scale: see `scaled_normal`.
    """

    d_model: Count
    channels: Count
    initialization_scale: Positive = 1.0

    def __call__(self, context: GraphContext, tokens: Tokens) -> mtf.Tensor:
        """Projects `tokens.values` [batch, length, channels] to [.., d_model].

        Raises:
          ValueError: the places hold no values, or another number of them.
        """
        values = tokens.values
        if values is None or values.shape.dims[-1].size != self.channels:
            raise ValueError(
                f"patches of {self.channels} channels are embedded here, got "
                f"{'tokens' if values is None else values.shape}"
            )
        channels, d_model = (
            values.shape.dims[-1],
            mtf.Dimension("d_model", self.d_model),
        )
        weights = context.variable(
            "patch_embedding",
            [channels, d_model],
            scaled_normal(self.initialization_scale, self.channels),
        )
        x = mtf.cast(values, context.activation_dtype)
        y = mtf.einsum([x, weights], output_shape=x.shape - channels + d_model)
        return y + context.variable("patch_embedding_bias", [d_model], zeros)

    def sizes(self, lengths: Lengths) -> Sizes:
        """Counts the projection."""
        return Sizes(
            ParameterCount(embedding=(self.channels + 1) * self.d_model),
            flops=ForwardFlops(
                embedding=2 * lengths.length * self.channels * self.d_model
            ),
        )
