"""Multi-head attention."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.mesh.initializers import zeros
from mtmoe.model.attention.softmax import softmax
from mtmoe.model.initialization import scaled_normal
from mtmoe.ranges import Count, Positive, Rate, check_fields


@dataclasses.dataclass(frozen=True)
class KeyValues:
    """What queries look at.

    Attributes:
      keys: [batch, heads, memory_length, d_kv].
      values: of the same shape.
    """

    keys: mtf.Tensor
    values: mtf.Tensor


@dataclasses.dataclass(frozen=True)
class MultiHeadAttention:
    """softmax(q k^T + biases) v.

    Vaswani et al. 2017, section 3.2.2; T5 (Raffel et al. 2020) leaves out the biases
    and the division by sqrt(d_kv), and has 1/sqrt(d_kv) in q's initial scale instead.

    Attributes:
      num_heads: number of heads.
      d_kv: width of a head.
      dropout_rate: dropout of the attention weights.
      initialization_scale: see `scaled_normal`.
      use_bias: whether each projection adds a bias, 0 at first.
      scale_logits: whether q k^T is divided by sqrt(d_kv).
    """

    num_heads: Count
    d_kv: Count
    dropout_rate: Rate = 0.0
    initialization_scale: Positive = 1.0
    use_bias: bool = False
    scale_logits: bool = False

    def __post_init__(self) -> None:
        """Checks the ranges."""
        check_fields(self)

    @property
    def heads(self) -> mtf.Dimension:
        """The dimension of the heads."""
        return mtf.Dimension("heads", self.num_heads)

    @property
    def head(self) -> mtf.Dimension:
        """The dimension of one head's width."""
        return mtf.Dimension("d_kv", self.d_kv)

    def num_parameters(self, d_model: int) -> int:
        """Returns the parameters of q, k, v and o, biases included."""
        width = self.num_heads * self.d_kv
        inputs = 3 * d_model * width + (3 * width if self.use_bias else 0)
        return inputs + self.num_output_parameters(d_model)

    def num_output_parameters(self, d_model: int) -> int:
        """Returns those of `join_heads`."""
        width = self.num_heads * self.d_kv
        return d_model * width + (d_model if self.use_bias else 0)

    def projection(self, d_model: int) -> int:
        """Returns the operations of one of q, k, v and o on one token."""
        return 2 * d_model * self.num_heads * self.d_kv

    def keys_values(self, context: GraphContext, memory: mtf.Tensor) -> KeyValues:
        """Projects what is looked at.

        Args:
          context: graph being built.
          memory: [batch, length, d_model].
        """
        fan_in = memory.shape.dims[-1].size
        # Where `length` is split, the new name gathers what has been projected.
        keys, values = (
            mtf.rename_dimension(
                self._project(context, name, memory, fan_in), "length", "memory_length"
            )
            for name in ("k", "v")
        )
        return KeyValues(keys, values)

    def queries(self, context: GraphContext, x: mtf.Tensor) -> mtf.Tensor:
        """Projects what looks: [batch, length, d_model] to [batch, heads, .., d_kv]."""
        fan_in = x.shape.dims[-1].size
        if self.scale_logits:
            return self.scaled(self._project(context, "q", x, fan_in))
        return self._project(context, "q", x, fan_in * self.d_kv)

    def scaled(self, queries: mtf.Tensor) -> mtf.Tensor:
        """Divides queries by sqrt(d_kv)."""
        return queries * self.d_kv**-0.5

    def attend(
        self,
        context: GraphContext,
        x: mtf.Tensor,
        memory: KeyValues,
        biases: Sequence[mtf.Tensor],
    ) -> mtf.Tensor:
        """Lets each position of `x` look at keys and values made before.

        Args:
          context: graph being built.
          x: [batch, length, d_model], where the queries come from.
          memory: keys and values.
          biases: as in `attend_queries`.

        Returns:
          [batch, length, d_model].
        """
        return self.attend_queries(
            context, self.queries(context, x), memory, biases, x.shape.dims[-1]
        )

    def attend_queries(
        self,
        context: GraphContext,
        queries: mtf.Tensor,
        memory: KeyValues,
        biases: Sequence[mtf.Tensor],
        d_model: mtf.Dimension,
    ) -> mtf.Tensor:
        """Lets queries made before look at keys and values made before.

        Args:
          context: graph being built.
          queries: [batch, heads, length, d_kv].
          memory: keys and values.
          biases: added to the logits; each of a subset of their dimensions
            [batch, heads, length, memory_length].
          d_model: the dimension of the result.

        Returns:
          [batch, length, d_model].
        """
        batch, heads, length, d_kv = queries.shape.dims
        memory_length = memory.keys.shape.dims[2]
        logits = mtf.einsum(
            [queries, memory.keys], output_shape=[batch, heads, length, memory_length]
        )
        weights = softmax(logits, biases)
        weights = context.dropout(
            weights, self.dropout_rate, "weights", weights.shape - length
        )
        attended = mtf.einsum(
            [weights, memory.values], output_shape=[batch, heads, length, d_kv]
        )
        return self.join_heads(context, attended, d_model)

    def join_heads(
        self, context: GraphContext, attended: mtf.Tensor, d_model: mtf.Dimension
    ) -> mtf.Tensor:
        """Projects what all heads see: [batch, heads, length, d_kv] -> [.., d_model].

        Args:
          context: graph being built.
          attended: [batch, heads, length, d_kv].
          d_model: the last dimension of the result, [batch, length, d_model].
        """
        batch, heads, length, d_kv = attended.shape.dims
        wo = context.variable(
            "o",
            [heads, d_kv, d_model],
            scaled_normal(self.initialization_scale, self.num_heads * self.d_kv),
        )
        y = mtf.einsum([attended, wo], output_shape=[batch, length, d_model])
        if self.use_bias:
            y += context.variable("o_bias", [d_model], zeros)
        return y

    def _project(
        self, context: GraphContext, name: str, x: mtf.Tensor, fan_in: int
    ) -> mtf.Tensor:
        """[batch, length, d_model] -> [batch, heads, length, d_kv]."""
        batch, length, d_model = x.shape.dims
        heads, d_kv = self.heads, self.head
        weights = context.variable(
            name,
            [d_model, heads, d_kv],
            scaled_normal(self.initialization_scale, fan_in),
        )
        y = mtf.einsum([x, weights], output_shape=[batch, heads, length, d_kv])
        if self.use_bias:
            bias = context.variable(f"{name}_bias", [heads, d_kv], zeros)
            y = mtf.add(y, bias, output_shape=y.shape)
        return y
