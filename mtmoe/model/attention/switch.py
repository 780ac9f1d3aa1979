"""Self-attention whose queries, keys and values are made by experts."""

from __future__ import annotations

import dataclasses

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.model.attention.multi_head import KeyValues, MultiHeadAttention
from mtmoe.model.attention.self_attention import SelfAttention
from mtmoe.model.counts import ForwardFlops, Lengths, ParameterCount, Sizes
from mtmoe.model.feedforward import FeedForward
from mtmoe.model.moe.layer import MixtureOfExpertsLayer
from mtmoe.model.moe.mixture import MixtureOfExperts
from mtmoe.model.positions.relative import RelativePositionBias
from mtmoe.model.routing import LayerRouting
from mtmoe.model.sublayer import Surroundings


@dataclasses.dataclass(frozen=True, kw_only=True)
class SwitchAttention(SelfAttention):
    """A token's expert makes its query, and one vector that is key and value at once.

    Switch Transformer (Fedus et al. 2022), appendix A. Each expert is a feed-forward
    network whose output is twice as wide as all heads together. A dropped token's query
    and key are 0. Queries are divided by sqrt(d_kv), which no initial value can take
    over here. Heads, their width and the output projection are plain attention's.

    Attributes:
      experts: the experts that make them.
    """

    experts: MixtureOfExpertsLayer

    @classmethod
    def make(
        cls,
        attention: MultiHeadAttention,
        config: MixtureOfExperts,
        expert: FeedForward,
        causal: bool,
        relative: RelativePositionBias | None = None,
    ) -> SwitchAttention:
        """Gives experts the width that the heads need.

        Args:
          attention: the plain attention.
          config: experts, router and capacity.
          expert: an expert's hidden width and activation.
          causal: whether tokens may not see those after them.
          relative: see `SelfAttention`.
        """
        width = 2 * attention.num_heads * attention.d_kv
        output = mtf.Dimension("queries_keys", width)
        expert = dataclasses.replace(expert, output=output)
        experts = MixtureOfExpertsLayer(config, expert, causal)
        return cls(attention, relative, experts=experts)

    def project(
        self, context: GraphContext, x: mtf.Tensor, around: Surroundings
    ) -> tuple[mtf.Tensor, KeyValues, tuple[LayerRouting, ...]]:
        """Makes queries [batch, heads, length, d_kv], keys and values."""
        with context.scope("moe"):
            y, routing = self.experts(context, x, around.tokens, around.where)
        batch, length, _ = y.shape.dims
        two = mtf.Dimension("query_or_key", 2)
        heads, d_kv = self.attention.heads, self.attention.head
        # [.., queries_keys] -> [query_or_key, batch, heads, length, d_kv]
        y = mtf.reshape(y, [batch, length, two, heads, d_kv])
        y = mtf.transpose(y, mtf.Shape([two, batch, heads, length, d_kv]))
        queries, keys = mtf.unstack(y, two)
        keys = mtf.rename_dimension(keys, "length", "memory_length")
        return self.attention.scaled(queries), KeyValues(keys, keys), (routing,)

    def sizes(self, lengths: Lengths) -> Sizes:
        """Counts the experts and, of plain attention, the output projection."""
        output = self.attention.num_output_parameters(lengths.d_model)
        flops = lengths.length * self.attention.projection(lengths.d_model)
        return (
            Sizes(
                ParameterCount(attention=output),
                flops=ForwardFlops(projections=flops),
            )
            + self._attending(lengths)
            + self.experts.sizes(lengths)
        )
