"""Relative positions: a bias of the attention logits by the distance of key and query.

Shape suffixes: L query length, N key length.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Annotated

import numpy as np
import tensorflow as tf

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.mesh.lookup import embedding_lookup
from mtmoe.mesh.update import take_at
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

    @property
    def num_parameters(self) -> int:
        """The table, one number a bucket and head."""
        return self.num_buckets * self.num_heads

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
