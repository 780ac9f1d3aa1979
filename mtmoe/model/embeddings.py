"""Token embeddings and the logits read off them."""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.mesh.initializers import truncated_normal
from mtmoe.mesh.lookup import embedding_lookup
from mtmoe.mesh.products import rounding_einsum
from mtmoe.model.initialization import scaled_normal
from mtmoe.ranges import Count, Positive, check_fields


@dataclasses.dataclass(frozen=True)
class TokenEmbedding:
    """A table of one vector a token, shared by encoder, decoder and, if tied, logits.

    Gradients of the table and logits are float32 in every precision. Where activations
    are bfloat16, the hardware may round the factors of the logits' product to it.

    Attributes:
      vocab_size: number of rows, at least the number of token ids.
      d_model: width.
      tied: whether the logits are products with the same table, scaled by
        d_model^-0.5 (Raffel et al. 2020), or with a matrix of their own (T5 1.1).
      initialization_scale: see `scaled_normal`; for the matrix of untied logits. The
        table itself starts with sigma = 1, as T5's.
    """

    vocab_size: Count
    d_model: Count
    tied: bool
    initialization_scale: Positive = 1.0

    def __post_init__(self) -> None:
        """Checks the ranges."""
        check_fields(self)

    def _table(self, context: GraphContext) -> mtf.Tensor:
        return context.variable(
            "embedding",
            [
                mtf.Dimension("vocab", self.vocab_size),
                mtf.Dimension("d_model", self.d_model),
            ],
            truncated_normal(1.0),
            dtype=tf.float32,
        )

    def embed(self, context: GraphContext, ids: mtf.Tensor) -> mtf.Tensor:
        """Looks up int32 ids [batch, length]; returns [batch, length, d_model]."""
        d_model = mtf.Dimension("d_model", self.d_model)
        rows = embedding_lookup(self._table(context), ids, ids.shape + d_model)
        return mtf.cast(rows, context.activation_dtype)

    def logits(self, context: GraphContext, x: mtf.Tensor) -> mtf.Tensor:
        """Scores every token: [batch, length, d_model] -> float32 [.., vocab]."""
        vocab = mtf.Dimension("vocab", self.vocab_size)
        d_model = x.shape.dims[-1]
        x = mtf.cast(x, tf.float32)
        if self.tied:
            weights = self._table(context)
            x *= self.d_model**-0.5
        else:
            weights = context.variable(
                "logits",
                [d_model, vocab],
                scaled_normal(self.initialization_scale, self.d_model),
                dtype=tf.float32,
            )
        shape = x.shape - d_model + vocab
        if context.activation_dtype == tf.float32:
            return mtf.einsum([x, weights], output_shape=shape)
        return rounding_einsum([x, weights], shape)
