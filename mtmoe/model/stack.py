"""A stack of pre-norm residual layers: T5's encoder or decoder."""

from __future__ import annotations

import dataclasses

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.model.attention.masks import (
    causal_mask,
    hidden_keys_mask,
    sees_any_key,
    visible_keys,
)
from mtmoe.model.attention.multi_head import MultiHeadAttention
from mtmoe.model.features import Tokens
from mtmoe.model.feedforward import FeedForward
from mtmoe.model.moe.layer import SwitchLayer
from mtmoe.model.moe.statistics import LayerRouting
from mtmoe.model.normalization import RMSNorm
from mtmoe.model.positions import RelativePositionBias


@dataclasses.dataclass(frozen=True)
class Memory:
    """What a decoder looks at.

    Attributes:
      values: [batch, length, d_model], the encoder's output.
      tokens: what it was computed from.
    """

    values: mtf.Tensor
    tokens: Tokens


@dataclasses.dataclass(frozen=True)
class Stack:
    """Attention, cross-attention if there is a memory, and feed-forward, n times.

    Attributes:
      name: scope of the variables, "encoder" or "decoder".
      num_layers: number of layers.
      attention: configuration of self- and cross-attention.
      position_bias: shared by all layers; its direction is the stack's.
      feed_forward: the dense feed-forward network.
      switch: the sparse one; None if every layer is dense.
      switch_every: layer i is sparse iff i % switch_every == switch_every - 1.
      dropout_rate: of the input, of every residual branch and of the output.
    """

    name: str
    num_layers: int
    attention: MultiHeadAttention
    position_bias: RelativePositionBias
    feed_forward: FeedForward
    switch: SwitchLayer | None
    switch_every: int
    dropout_rate: float

    def is_sparse(self, layer: int) -> bool:
        """Whether the feed-forward network of a layer (from 0) is a Switch layer."""
        return self.switch is not None and (layer + 1) % self.switch_every == 0

    def __call__(
        self,
        context: GraphContext,
        x: mtf.Tensor,
        tokens: Tokens,
        memory: Memory | None = None,
    ) -> tuple[mtf.Tensor, tuple[LayerRouting, ...]]:
        """Runs the stack.

        Args:
          context: graph being built.
          x: [batch, length, d_model], embedded tokens.
          tokens: which of them are padding, which is never routed to an expert, and, of
            packed rows, which belong together: no token looks out of its segment.
          memory: what to cross-attend to; None for an encoder. A token whose segment
            has none gets nothing from it.

        Returns:
          [batch, length, d_model], normalized, and the routing of each Switch layer.
        """
        norm = RMSNorm()
        routing: list[LayerRouting] = []
        with context.scope(self.name):
            biases = self._self_attention_biases(context, x, tokens)
            if memory is not None:
                visible = visible_keys(tokens, memory.tokens)
                memory_biases = [hidden_keys_mask(context, visible)]
                sees_memory = mtf.cast(sees_any_key(visible), x.dtype)
            x = self._dropout(context, x, "input")
            for layer in range(self.num_layers):
                with context.scope(f"layer_{layer:03d}"):
                    y = norm(context, x, "self_attention_norm")
                    with context.scope("self_attention"):
                        y = self.attention(context, y, y, biases)
                    x += self._dropout(context, y, "self_attention")
                    if memory is not None:
                        y = norm(context, x, "cross_attention_norm")
                        with context.scope("cross_attention"):
                            y = self.attention(context, y, memory.values, memory_biases)
                        y *= sees_memory
                        x += self._dropout(context, y, "cross_attention")
                    y = norm(context, x, "feed_forward_norm")
                    y = self._feed_forward(context, y, tokens, layer, routing)
                    x += self._dropout(context, y, "feed_forward")
            x = self._dropout(context, norm(context, x, "final_norm"), "output")
        return x, tuple(routing)

    def _self_attention_biases(
        self, context: GraphContext, x: mtf.Tensor, tokens: Tokens
    ) -> list[mtf.Tensor]:
        """The additions to every layer's logits, made once."""
        length = x.shape.dims[1]
        bias = self.position_bias(context, length)
        if not self.position_bias.bidirectional:
            bias += causal_mask(context, length)
            if tokens.segments is None:
                # Padding comes last, so what is causal cannot look at it.
                return [bias]
        # Distances within a segment are those in its row: it lies in one piece.
        return [bias, hidden_keys_mask(context, visible_keys(tokens, tokens))]

    def _feed_forward(
        self,
        context: GraphContext,
        x: mtf.Tensor,
        tokens: Tokens,
        layer: int,
        routing: list[LayerRouting],
    ) -> mtf.Tensor:
        if self.switch is not None and self.is_sparse(layer):
            name = f"{self.name}.{layer}.moe"
            with context.scope("moe"):
                y, layer_routing = self.switch(context, x, tokens, name)
            routing.append(layer_routing)
            return y
        with context.scope("feed_forward"):
            return self.feed_forward(context, x, noise_broadcast_dim=x.shape.dims[1])

    def _dropout(self, context: GraphContext, x: mtf.Tensor, name: str) -> mtf.Tensor:
        """Dropout whose noise is shared over the length, as in T5."""
        length = x.shape.dims[1]
        return context.dropout(x, self.dropout_rate, name, x.shape - length)
