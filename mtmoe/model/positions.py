"""How a stack knows where its tokens are: relative biases or absolute positions.

Shape suffixes: B batch, L query length, N key length.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Annotated, Protocol

import numpy as np
import tensorflow as tf

from mtmoe.errors import ConfigError, UnknownNameError
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.mesh.initializers import truncated_normal
from mtmoe.mesh.lookup import embedding_lookup
from mtmoe.mesh.update import take_at
from mtmoe.model.features import Tokens
from mtmoe.model.initialization import scaled_normal
from mtmoe.ranges import Count, Positive, Range, check_fields

Buckets = Annotated[int, Range(4, 2**31 - 1, whole=True)]
"""Two on each side at least: one for a distance of 0, one for all others."""


def relative_position_bucket(
    relative_position: np.ndarray,
    bidirectional: bool,
    num_buckets: int = 32,
    max_distance: int = 128,
) -> np.ndarray:
    """Maps distances to buckets: exact when small, logarithmic when larger.

    Args:
      relative_position: int array, key position minus query position.
      bidirectional: whether keys to the right count; they take half the buckets. If
        not, every key to the right shares the bucket of distance 0.
      num_buckets: number of buckets in all.
      max_distance: from this distance on all positions share the last bucket.

    Returns:
      An int32 array of the same shape with values in [0, num_buckets).
    """
    offset = np.zeros_like(relative_position)
    if bidirectional:
        num_buckets //= 2
        offset = np.where(relative_position > 0, num_buckets, 0)
        distance = np.abs(relative_position)
    else:
        distance = np.maximum(-relative_position, 0)
    exact = num_buckets // 2
    # float32 as in every published implementation, so that the buckets' edges agree.
    ratio = np.log(np.maximum(distance, 1).astype(np.float32) / np.float32(exact))
    ratio /= np.float32(math.log(max_distance / exact))
    logarithmic = exact + (ratio * np.float32(num_buckets - exact)).astype(np.int32)
    logarithmic = np.minimum(logarithmic, num_buckets - 1)
    return (offset + np.where(distance < exact, distance, logarithmic)).astype(np.int32)


@dataclasses.dataclass(frozen=True)
class RelativePositionBias:
    """One learned number a head and bucket, added to the attention logits.

    Raffel et al. 2020, section 2.1.

    Attributes:
      num_heads: number of attention heads.
      bidirectional: whether the stack looks to both sides.
      num_buckets: see `relative_position_bucket`.
      max_distance: see `relative_position_bucket`.
      initialization_scale: see `scaled_normal`; the table is a projection of the
        one-hot bucket, so the fan-in is the number of buckets.
    """

    num_heads: Count
    bidirectional: bool
    num_buckets: Buckets = 32
    max_distance: Count = 128
    initialization_scale: Positive = 1.0

    def __post_init__(self) -> None:
        """Checks the ranges."""
        check_fields(self)

    def __call__(self, context: GraphContext, length: mtf.Dimension) -> mtf.Tensor:
        """Returns the bias [heads, length, memory_length] for self-attention."""
        return self._bias(context, self._buckets(context, length))

    def at(
        self, context: GraphContext, length: mtf.Dimension, position: mtf.Tensor
    ) -> mtf.Tensor:
        """Returns the row of one query: [heads, length=1, memory_length].

        Args:
          context: graph being built.
          length: how many places there are.
          position: int32 scalar, the query's.
        """
        buckets = self._buckets(context, length)
        return self._bias(context, take_at(buckets, length, position))

    def _buckets(self, context: GraphContext, length: mtf.Dimension) -> mtf.Tensor:
        """int32 [length, memory_length]."""
        positions = np.arange(length.size)
        buckets_LN = relative_position_bucket(
            positions[np.newaxis, :] - positions[:, np.newaxis],
            self.bidirectional,
            self.num_buckets,
            self.max_distance,
        )
        memory_length = mtf.Dimension("memory_length", length.size)
        return context.import_tensor(tf.constant(buckets_LN), [length, memory_length])

    def _bias(self, context: GraphContext, buckets: mtf.Tensor) -> mtf.Tensor:
        length, memory_length = buckets.shape.dims
        heads = mtf.Dimension("heads", self.num_heads)
        table = context.variable(
            "relative_position_bias",
            [mtf.Dimension("position_buckets", self.num_buckets), heads],
            scaled_normal(self.initialization_scale, self.num_buckets),
        )
        # [length, memory_length, heads] -> [heads, length, memory_length]
        bias = embedding_lookup(
            table, buckets, mtf.Shape([length, memory_length, heads])
        )
        return mtf.transpose(bias, mtf.Shape([heads, length, memory_length]))


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


@dataclasses.dataclass(frozen=True)
class Positions:
    """What a stack does about positions; nothing by default.

    Attributes:
      relative: bias of the attention logits.
      per_layer: whether each layer has a table of its own for it.
      absolute: what is added to the stack's input.
    """

    relative: RelativePositionBias | None = None
    per_layer: bool = False
    absolute: AbsolutePositions | None = None


NAMES = (
    "relative_bias",
    "relative_bias_per_layer",
    "sinusoidal",
    "learned",
    "none",
)


def named_positions(
    name: str, relative: RelativePositionBias, max_positions: int
) -> Positions:
    """Returns the positions of that name.

    Args:
      name: one of `NAMES`.
      relative: the bias, for the names that want one.
      max_positions: places that "learned" has vectors for.

    Raises:
      UnknownNameError: there is no such name.
      ConfigError: there are no places to learn.
    """
    if name not in NAMES:
        raise UnknownNameError("positions", name, NAMES)
    if name == "learned" and max_positions < 1:
        raise ConfigError(
            "learned positions need max_positions, the most places of a row, got "
            f"{max_positions}"
        )
    if name == "learned":
        return Positions(absolute=LearnedPositions(max_positions))
    return {
        "relative_bias": Positions(relative),
        "relative_bias_per_layer": Positions(relative, per_layer=True),
        "sinusoidal": Positions(absolute=SinusoidalPositions()),
        "none": Positions(),
    }[name]


def token_places(tokens: Tokens) -> mtf.Tensor:
    """Counts each token's place from the first of its row or, if packed, its segment.

    Padding before the first token of a row is not counted.

    Returns:
      int32 [batch, length].
    """
    if tokens.segments is None:
        return _count_places(_places_in_row, tokens.nonpadding)
    return _count_places(_places_in_segment, tokens.segments)


def place_after(visible: mtf.Tensor) -> mtf.Tensor:
    """Returns the place of the last of a row's visible tokens.

    Args:
      visible: float32 [batch, memory_length], 1 at places that hold a token.

    Returns:
      int32 [batch, length=1].
    """
    batch, places = visible.shape.dims
    count = mtf.reduce_sum(visible, reduced_dim=places)
    place = mtf.cast(mtf.relu(count - 1.0), tf.int32)
    return mtf.reshape(place, [batch, mtf.Dimension("length", 1)])


def _count_places(
    places: Callable[[tf.Tensor], tf.Tensor], numbers: mtf.Tensor
) -> mtf.Tensor:
    batch, length = numbers.shape.dims
    # Places are counted along whole rows, whatever the layout does to their length.
    whole = mtf.rename_dimension(numbers, "length", "length_unsplit")
    counted = mtf.slicewise(
        places,
        [whole],
        output_dtype=tf.int32,
        splittable_dims=[batch],
        grad_function=0,
        name="token_places",
    )
    return mtf.reshape(counted, mtf.Shape([batch, length]))


def _places_in_row(nonpadding_BL: tf.Tensor) -> tf.Tensor:
    count = tf.cast(tf.cumsum(nonpadding_BL, axis=1), tf.int32)
    return tf.maximum(count - 1, 0)


def _places_in_segment(segments_BL: tf.Tensor) -> tf.Tensor:
    length = segments_BL.shape[1]
    index = tf.range(length)
    before = _later(segments_BL, 1)
    begin = tf.where(tf.equal(segments_BL, before), 0, index)
    distance = 1
    while distance < length:  # the largest so far, by doubling
        begin = tf.maximum(begin, _later(begin, distance))
        distance *= 2
    return index - begin


def _later(x_BL: tf.Tensor, places: int) -> tf.Tensor:
    """Each element `places` places later, 0 before the first."""
    return tf.pad(x_BL[:, :-places], [[0, 0], [places, 0]])
