"""Absolute positions: vectors that are added to embedded tokens.

Shape suffixes: B batch, L length.
"""

from __future__ import annotations

import dataclasses
from typing import Protocol

import numpy as np
import tensorflow as tf

from mtmoe.errors import ConfigError
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.mesh.initializers import truncated_normal
from mtmoe.mesh.lookup import embedding_lookup
from mtmoe.ranges import Count, check_fields


class AbsolutePositions(Protocol):
    """Vectors that are added to embedded tokens."""

    def num_parameters(self, d_model: int) -> int:
        """Returns how many of them are learned, times their width."""
        ...

    def check_length(self, length: int) -> None:
        """Raises a ConfigError where there are fewer places than `length`."""
        ...

    def __call__(
        self, context: GraphContext, places: mtf.Tensor, d_model: mtf.Dimension
    ) -> mtf.Tensor:
        """Returns the vectors of int32 places [batch, length], counted from 0."""
        ...


@dataclasses.dataclass(frozen=True)
class SinusoidalPositions:
    """PE(p, 2i) = sin(p / 10000^(2i / d_model)), PE(p, 2i + 1) = cos of the same.

    Vaswani et al. 2017, section 3.5.
    """

    def num_parameters(self, d_model: int) -> int:
        """None."""
        del d_model
        return 0

    def check_length(self, length: int) -> None:
        """Any length will do."""

    def __call__(
        self, context: GraphContext, places: mtf.Tensor, d_model: mtf.Dimension
    ) -> mtf.Tensor:
        """Returns [batch, length, d_model]; see `AbsolutePositions`."""
        index = np.arange(d_model.size)
        rates = np.power(10_000.0, -(index // 2 * 2) / d_model.size)
        # cos x = sin(x + pi / 2)
        phases = np.where(index % 2, np.pi / 2, 0.0)

        def forward(places_BL: tf.Tensor) -> tf.Tensor:
            angles = tf.cast(places_BL, tf.float32)[..., tf.newaxis]
            angles *= tf.constant(rates, tf.float32)
            values = tf.sin(angles + tf.constant(phases, tf.float32))
            return tf.cast(values, context.activation_dtype)

        return mtf.slicewise(
            forward,
            [places],
            output_shape=places.shape + d_model,
            output_dtype=context.activation_dtype,
            splittable_dims=places.shape.dims,
            grad_function=0,
            name="sinusoidal_positions",
        )


@dataclasses.dataclass(frozen=True)
class LearnedPositions:
    """One learned vector a place (Radford et al. 2018); sigma = 1, as of tokens.

    Attributes:
      max_positions: how many places there are.
    """

    max_positions: Count

    def __post_init__(self) -> None:
        """Checks the ranges."""
        check_fields(self)

    def num_parameters(self, d_model: int) -> int:
        """One table."""
        return self.max_positions * d_model

    def check_length(self, length: int) -> None:
        """Raises a ConfigError where there are fewer places than `length`."""
        if length > self.max_positions:
            raise ConfigError(
                f"max_positions = {self.max_positions} learned positions, but rows "
                f"have {length} places"
            )

    def __call__(
        self, context: GraphContext, places: mtf.Tensor, d_model: mtf.Dimension
    ) -> mtf.Tensor:
        """Returns [batch, length, d_model]; see `AbsolutePositions`."""
        positions = mtf.Dimension("positions", self.max_positions)
        table = context.variable(
            "position_embedding", [positions, d_model], truncated_normal(1.0)
        )
        return embedding_lookup(table, places, places.shape + d_model)
