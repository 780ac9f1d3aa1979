"""Self-attention whose queries, keys and values are made by experts."""

from __future__ import annotations

import dataclasses

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.model.attention.multi_head import KeyValues, MultiHeadAttention
from mtmoe.model.features import Tokens
from mtmoe.model.feedforward import FeedForward
from mtmoe.model.moe.layer import MixtureOfExperts, MixtureOfExpertsLayer
from mtmoe.model.moe.statistics import LayerRouting


@dataclasses.dataclass(frozen=True)
class SwitchAttention:
    """A token's expert makes its query, and one vector that is key and value at once.

    Switch Transformer (Fedus et al. 2022), appendix A. Each expert is a feed-forward
    network whose output is twice as wide as all heads together. A dropped token's query
    and key are 0. Queries are divided by sqrt(d_kv), which no initial value can take
    over here. Heads, their width and the output projection are plain attention's.

    Attributes:
      attention: heads and what is done with queries, keys and values.
      experts: the experts that make them.
    """

    attention: MultiHeadAttention
    experts: MixtureOfExpertsLayer

    @classmethod
    def make(
        cls,
        attention: MultiHeadAttention,
        config: MixtureOfExperts,
        expert: FeedForward,
        causal: bool,
    ) -> SwitchAttention:
        """Gives experts the width that the heads need.

        Args:
          attention: the plain attention.
          config: experts, router and capacity.
          expert: an expert's hidden width and activation.
          causal: whether tokens may not see those after them.
        """
        width = 2 * attention.num_heads * attention.d_kv
        output = mtf.Dimension("queries_keys", width)
        expert = dataclasses.replace(expert, output=output)
        return cls(attention, MixtureOfExpertsLayer(config, expert, causal))

    def project(
        self, context: GraphContext, x: mtf.Tensor, tokens: Tokens, name: str
    ) -> tuple[mtf.Tensor, KeyValues, LayerRouting]:
        """Makes queries, keys and values.

        Args:
          context: graph being built.
          x: [batch, length, d_model].
          tokens: see `MixtureOfExpertsLayer`.
          name: the layer's name in statistics and errors.

        Returns:
          Queries [batch, heads, length, d_kv], keys and values, and the routing.
        """
        with context.scope("moe"):
            y, routing = self.experts(context, x, tokens, name)
        batch, length, _ = y.shape.dims
        two = mtf.Dimension("query_or_key", 2)
        heads, d_kv = self.attention.heads, self.attention.head
        y = mtf.reshape(y, [batch, length, two, heads, d_kv])
        y = mtf.transpose(y, mtf.Shape([two, batch, heads, length, d_kv]))
        queries, keys = mtf.unstack(y, two)
        keys = mtf.rename_dimension(keys, "length", "memory_length")
        return self.attention.scaled(queries), KeyValues(keys, keys), routing
