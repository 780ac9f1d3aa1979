"""Multi-head attention of T5: no biases, no division by sqrt(d_kv)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import tensorflow as tf

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.model.initialization import scaled_normal


@dataclasses.dataclass(frozen=True)
class MultiHeadAttention:
    """softmax(q k^T + biases) v, with the 1/sqrt(d_kv) folded into q's initial scale.

    Vaswani et al. 2017, section 3.2; Raffel et al. 2020 for what T5 leaves out.

    Attributes:
      num_heads: number of heads.
      d_kv: width of a head.
      dropout_rate: dropout of the attention weights.
      initialization_scale: see `scaled_normal`.
    """

    num_heads: int
    d_kv: int
    dropout_rate: float = 0.0
    initialization_scale: float = 1.0

    def __call__(
        self,
        context: GraphContext,
        x: mtf.Tensor,
        memory: mtf.Tensor,
        biases: Sequence[mtf.Tensor],
    ) -> mtf.Tensor:
        """Lets each position of `x` look at all positions of `memory`.

        Args:
          context: graph being built.
          x: [batch, length, d_model], where the queries come from.
          memory: [batch, length, d_model], where keys and values come from; `x` itself
            for self-attention.
          biases: added to the logits; each of a subset of their dimensions
            [batch, heads, length, memory_length].

        Returns:
          [batch, length, d_model].
        """
        batch, length, d_model = x.shape.dims
        heads = mtf.Dimension("heads", self.num_heads)
        d_kv = mtf.Dimension("d_kv", self.d_kv)
        memory = mtf.rename_dimension(memory, "length", "memory_length")
        memory_length = memory.shape.dims[1]

        def project(name: str, source: mtf.Tensor, fan_in: int) -> mtf.Tensor:
            weights = context.variable(
                name,
                [d_model, heads, d_kv],
                scaled_normal(self.initialization_scale, fan_in),
            )
            # [batch, length, d_model] -> [batch, heads, length, d_kv]
            return mtf.einsum(
                [source, weights],
                output_shape=[batch, heads, source.shape.dims[1], d_kv],
            )

        q = project("q", x, d_model.size * self.d_kv)
        k = project("k", memory, d_model.size)
        v = project("v", memory, d_model.size)
        logits = mtf.einsum([q, k], output_shape=[batch, heads, length, memory_length])
        for bias in biases:
            logits += bias
        weights = softmax(logits, memory_length)
        weights = context.dropout(
            weights, self.dropout_rate, "weights", weights.shape - length
        )
        attended = mtf.einsum([weights, v], output_shape=[batch, heads, length, d_kv])
        wo = context.variable(
            "o",
            [heads, d_kv, d_model],
            scaled_normal(self.initialization_scale, self.num_heads * self.d_kv),
        )
        return mtf.einsum([attended, wo], output_shape=x.shape)


def softmax(logits: mtf.Tensor, dim: mtf.Dimension) -> mtf.Tensor:
    """Softmax over the last dimension, computed in float32.

    One operation forward and its closed form backward, dx = y (dy - sum(dy y)); Mesh
    TensorFlow's own spells out and stores every step of the log-softmax.

    Args:
      logits: any float tensor whose last dimension is `dim`, which may not be split.
      dim: the dimension that is to sum to one.

    Returns:
      A tensor of the shape and dtype of `logits`.
    """
    if logits.shape.dims[-1] != dim:
        raise ValueError(f"softmax over {dim}, which is not the last of {logits.shape}")

    def forward(x: tf.Tensor) -> tf.Tensor:
        return tf.cast(tf.nn.softmax(tf.cast(x, tf.float32)), x.dtype)

    def backward(operation: mtf.Operation, dy: mtf.Tensor) -> list[mtf.Tensor]:
        y = operation.outputs[0]
        inner = mtf.reduce_sum(dy * y, reduced_dim=dim)
        return [y * (dy - inner)]

    return mtf.slicewise(
        forward,
        [logits],
        splittable_dims=logits.shape.dims[:-1],
        grad_function=backward,
        name="softmax",
    )
