"""What comes out of the last stack: a score of every token of the vocabulary.

Gradients of weights and logits are float32 in every precision. Where activations are
bfloat16, the hardware may round the factors of the product to it.
"""

from __future__ import annotations

import dataclasses
from typing import Protocol

import tensorflow as tf

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.mesh.products import rounding_einsum
from mtmoe.model.counts import ForwardFlops, Lengths, ParameterCount, Sizes
from mtmoe.model.embeddings import TokenEmbedding
from mtmoe.model.initialization import scaled_normal
from mtmoe.ranges import Count, Positive, check_fields


class Logits(Protocol):
    """Scores the tokens of a vocabulary."""

    @property
    def vocab_size(self) -> int:
        """How many there are."""
        ...

    def __call__(self, context: GraphContext, x: mtf.Tensor) -> mtf.Tensor:
        """Scores every token: [batch, length, d_model] -> float32 [.., vocab]."""
        ...

    def sizes(self, lengths: Lengths) -> Sizes:
        """Counts its own parameters, and its products."""
        ...


@dataclasses.dataclass(frozen=True)
class TiedLogits:
    """Products with the embedding table, scaled by d_model^-0.5 (Raffel et al. 2020).

    Attributes:
      embedding: whose table it is.
    """

    embedding: TokenEmbedding

    @property
    def vocab_size(self) -> int:
        """The rows of the table."""
        return self.embedding.vocab_size

    def __call__(self, context: GraphContext, x: mtf.Tensor) -> mtf.Tensor:
        """Scores every token; see `Logits`."""
        table = self.embedding.table(context)
        return vocabulary_product(
            context, mtf.cast(x, tf.float32) * self.embedding.d_model**-0.5, table
        )

    def sizes(self, lengths: Lengths) -> Sizes:
        """Counts products alone."""
        return Sizes(flops=_product_flops(lengths, self.vocab_size))


@dataclasses.dataclass(frozen=True)
class UntiedLogits:
    """Products with a matrix of their own (T5 1.1).

    Attributes:
      vocab_size: columns of the matrix.
      initialization_scale: see `scaled_normal`.
    """

    vocab_size: Count
    initialization_scale: Positive = 1.0

    def __post_init__(self) -> None:
        """Checks the ranges."""
        check_fields(self)

    def __call__(self, context: GraphContext, x: mtf.Tensor) -> mtf.Tensor:
        """Scores every token; see `Logits`."""
        d_model = x.shape.dims[-1]
        weights = context.variable(
            "logits",
            [d_model, mtf.Dimension("vocab", self.vocab_size)],
            scaled_normal(self.initialization_scale, d_model.size),
            dtype=tf.float32,
        )
        return vocabulary_product(context, mtf.cast(x, tf.float32), weights)

    def sizes(self, lengths: Lengths) -> Sizes:
        """Counts the matrix and its products."""
        parameters = ParameterCount(embedding=lengths.d_model * self.vocab_size)
        return Sizes(parameters, flops=_product_flops(lengths, self.vocab_size))


def vocabulary_product(
    context: GraphContext, x: mtf.Tensor, weights: mtf.Tensor
) -> mtf.Tensor:
    """Multiplies float32 x [.., d_model] by a matrix of d_model and vocab."""
    d_model = x.shape.dims[-1]
    (vocab,) = (dim for dim in weights.shape.dims if dim != d_model)
    shape = x.shape - d_model + vocab
    if context.activation_dtype == tf.float32:
        return mtf.einsum([x, weights], output_shape=shape)
    return rounding_einsum([x, weights], shape)


def _product_flops(lengths: Lengths, vocab_size: int) -> ForwardFlops:
    return ForwardFlops(logits=2 * lengths.length * lengths.d_model * vocab_size)
