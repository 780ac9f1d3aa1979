"""What goes into the stacks: one vector a token."""

from __future__ import annotations

import dataclasses
from typing import Protocol

import tensorflow as tf

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.mesh.initializers import truncated_normal
from mtmoe.mesh.lookup import embedding_lookup
from mtmoe.model.counts import Lengths, ParameterCount, Sizes
from mtmoe.model.features import Tokens
from mtmoe.ranges import Count, check_fields


class Embedding(Protocol):
    """Makes the input of a stack; encoder and decoder share one."""

    @property
    def d_model(self) -> int:
        """Width of what it makes."""
        ...

    def __call__(self, context: GraphContext, tokens: Tokens) -> mtf.Tensor:
        """Returns [batch, length, d_model], in the activation dtype."""
        ...

    def sizes(self, lengths: Lengths) -> Sizes:
        """Counts its parameters, and products for the places of all stacks."""
        ...


@dataclasses.dataclass(frozen=True)
class TokenEmbedding:
    """A table of one vector a token, sigma = 1 at first, as T5's.

    Gradients of the table are float32 in every precision.

    Attributes:
      vocab_size: number of rows, at least the number of token ids.
      d_model: width.
    """

    vocab_size: Count
    d_model: Count

    def __post_init__(self) -> None:
        """Checks the ranges."""
        check_fields(self)

    def table(self, context: GraphContext) -> mtf.Tensor:
        """Returns the table, float32 [vocab, d_model]."""
        return context.variable(
            "embedding",
            [
                mtf.Dimension("vocab", self.vocab_size),
                mtf.Dimension("d_model", self.d_model),
            ],
            truncated_normal(1.0),
            dtype=tf.float32,
        )

    def __call__(self, context: GraphContext, tokens: Tokens) -> mtf.Tensor:
        """Looks the ids up; returns [batch, length, d_model]."""
        d_model = mtf.Dimension("d_model", self.d_model)
        ids = tokens.ids
        rows = embedding_lookup(self.table(context), ids, ids.shape + d_model)
        return mtf.cast(rows, context.activation_dtype)

    def sizes(self, lengths: Lengths) -> Sizes:
        """Counts the table."""
        return Sizes(ParameterCount(embedding=self.vocab_size * self.d_model))
