"""A stack of pre-norm residual layers: an encoder or a decoder."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import tensorflow as tf

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.mesh.recompute import recompute
from mtmoe.mesh.update import write_at
from mtmoe.model.attention.masks import (
    causal_mask,
    causal_mask_with_prefix,
    hidden_keys_mask,
    sees_any_key,
    visible_keys,
)
from mtmoe.model.attention.multi_head import KeyValues, MultiHeadAttention
from mtmoe.model.attention.switch import SwitchAttention
from mtmoe.model.features import Tokens
from mtmoe.model.feedforward import FeedForward
from mtmoe.model.moe.layer import MixtureOfExpertsLayer
from mtmoe.model.moe.statistics import LayerRouting
from mtmoe.model.normalization import Normalization, RMSNorm
from mtmoe.model.positions import Positions, place_after, token_places
from mtmoe.model.stack_state import Memory, StackState
from mtmoe.ranges import Count, Natural, Rate, check_fields

Routing = list[LayerRouting]

SelfAttend = Callable[[mtf.Tensor], tuple[mtf.Tensor, Routing]]
"""From normalized [batch, length, d_model] to the same shape, and what was routed."""

Attend = Callable[[mtf.Tensor], mtf.Tensor]
"""From normalized queries [batch, length, d_model] to the same shape."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stack:
    """Attention, cross-attention if there is a memory, and feed-forward, n times.

    Attributes:
      name: scope of the variables, "encoder" or "decoder".
      num_layers: number of layers.
      attention: configuration of self- and cross-attention.
      feed_forward: the dense feed-forward network.
      bidirectional: whether a token sees those after it.
      positions: how tokens know where they are.
      normalization: of the input of every branch, and of the output.
      switch: the sparse feed-forward network; None if every layer is dense.
      switch_attention: self-attention of the sparse layers; None for the plain one.
      switch_every: layer i is sparse iff i % switch_every == switch_every - 1.
      dense_after_switch: whether each sparse feed-forward network has a dense one as a
        branch of its own after it.
      dropout_rate: of the input, of every residual branch and of the output.
    """

    name: str
    num_layers: Count
    attention: MultiHeadAttention
    feed_forward: FeedForward
    bidirectional: bool
    positions: Positions = Positions()  # noqa: RUF009  (frozen)
    normalization: Normalization = RMSNorm()  # noqa: RUF009  (frozen)
    switch: MixtureOfExpertsLayer | None = None
    switch_attention: SwitchAttention | None = None
    switch_every: Natural = 1
    dense_after_switch: bool = False
    dropout_rate: Rate = 0.0

    def __post_init__(self) -> None:
        """Checks the ranges."""
        check_fields(self)

    def is_sparse(self, layer: int) -> bool:
        """Whether the feed-forward network of a layer (from 0) is one of experts."""
        return self.switch is not None and (layer + 1) % self.switch_every == 0

    def has_switch_attention(self, layer: int) -> bool:
        """Whether the self-attention of a layer (from 0) is one of experts."""
        return self.switch_attention is not None and (
            (layer + 1) % self.switch_every == 0
        )

    def expert_layers(self) -> list[MixtureOfExpertsLayer]:
        """Returns the kinds of layers of experts that the stack has, two at most."""
        if self.num_layers < self.switch_every:
            return []
        attention = self.switch_attention
        kinds = [self.switch, attention.experts if attention else None]
        return [kind for kind in kinds if kind is not None]

    def switch_layer_names(self) -> list[str]:
        """Returns the names of the layers of experts, in the order they run."""
        names = []
        for layer in range(self.num_layers):
            if self.has_switch_attention(layer):
                names.append(self._expert_name(layer, "self_attention"))
            if self.is_sparse(layer):
                names.append(self._expert_name(layer, "moe"))
        return names

    def __call__(
        self,
        context: GraphContext,
        x: mtf.Tensor,
        tokens: Tokens,
        memory: Memory | None = None,
    ) -> tuple[mtf.Tensor, tuple[LayerRouting, ...]]:
        """Runs the stack over whole sequences.

        Args:
          context: graph being built.
          x: [batch, length, d_model], embedded tokens.
          tokens: which of them are padding, which is never routed to an expert, and, of
            packed rows, which belong together: no token looks out of its segment.
            Padding comes last. Of a stack that is not bidirectional, tokens of a prefix
            are seen by those before them too.
          memory: what to cross-attend to; None for an encoder. A token whose segment
            has none gets nothing from it.

        Returns:
          [batch, length, d_model], normalized, and the routing of the experts.
        """
        # What is causal cannot look at padding, which comes last.
        padding_is_seen = self.bidirectional or tokens.segments is not None
        y, routing, _ = self._run(context, x, tokens, memory, padding_is_seen)
        return y, tuple(routing)

    def start(
        self,
        context: GraphContext,
        batch: mtf.Dimension,
        max_length: int,
        memory: Memory | None = None,
    ) -> StackState:
        """Returns the state before the first step.

        Args:
          context: graph being built.
          batch: how many sequences.
          max_length: places for tokens.
          memory: what to cross-attend to, of the same batch; its keys and values are
            made here, once.

        Raises:
          ConfigError: there are fewer learned positions than that.
        """
        self._check_length(max_length)
        length = mtf.Dimension("memory_length", max_length)
        shape = [batch, self.attention.heads, length, self.attention.head]
        empty = mtf.zeros(context.mesh, mtf.Shape(shape), context.activation_dtype)
        nothing = mtf.zeros(context.mesh, mtf.Shape([batch, length]), tf.float32)
        caches = (KeyValues(empty, empty),) * self.num_layers
        if memory is None:
            return StackState(caches, nothing)
        memories = []
        for layer in range(self.num_layers):
            with (
                context.scope(self.name),
                context.scope(f"layer_{layer:03d}"),
                context.scope("cross_attention"),
            ):
                memories.append(self.attention.keys_values(context, memory.values))
        visible = mtf.rename_dimension(
            memory.tokens.nonpadding, "length", "memory_length"
        )
        return StackState(
            caches,
            nothing,
            tuple(memories),
            hidden_keys_mask(context, visible),
            mtf.cast(sees_any_key(visible), context.activation_dtype),
        )

    def start_after(
        self, context: GraphContext, x: mtf.Tensor, tokens: Tokens, max_length: int
    ) -> StackState:
        """Returns the state after a prompt, which is run over in one pass.

        Args:
          context: graph being built.
          x: [batch, length, d_model], the embedded prompt.
          tokens: the prompt, one a row, with padding before it.
          max_length: places for tokens after the prompt's.

        Raises:
          ConfigError: there are fewer learned positions than all of these.
        """
        length = x.shape.dims[1]
        self._check_length(length.size + max_length)
        _, _, made = self._run(context, x, tokens, None, padding_is_seen=True)

        def with_room(x: mtf.Tensor) -> mtf.Tensor:
            return mtf.pad(x, [0, max_length], "memory_length")

        visible = mtf.rename_dimension(tokens.nonpadding, "length", "memory_length")
        return StackState(
            tuple(KeyValues(with_room(kv.keys), with_room(kv.values)) for kv in made),
            with_room(visible),
            num_before=length.size,
        )

    def step(
        self,
        context: GraphContext,
        x: mtf.Tensor,
        tokens: Tokens,
        state: StackState,
        position: mtf.Tensor,
    ) -> tuple[mtf.Tensor, StackState]:
        """Runs the stack over one more place of every sequence.

        Args:
          context: graph being built.
          x: [batch, length=1, d_model], embedded tokens.
          tokens: the tokens of this place; padding is seen by no later place.
          state: what the places before left.
          position: int32 scalar, number of the step from 0, for all sequences the
            same: sequences that begin later are padded on the left.

        Returns:
          [batch, length=1, d_model], normalized, and the state after this place.
        """
        places = state.visible.shape.dims[1]
        place = position + state.num_before if state.num_before else position
        here = mtf.rename_dimension(tokens.nonpadding, "length", "memory_length")
        visible = write_at(state.visible, here, places, place)
        hidden = hidden_keys_mask(context, visible)
        caches: list[KeyValues] = []

        def position_bias() -> list[mtf.Tensor]:
            if self.positions.relative is None:
                return []
            length = mtf.Dimension("length", places.size)
            return [self.positions.relative.at(context, length, place)]

        with context.scope(self.name):
            x = self._add_positions(context, x, place_after(visible))
            shared = [hidden] + ([] if self.positions.per_layer else position_bias())
            for layer in range(self.num_layers):

                def attend_self(
                    y: mtf.Tensor, layer: int = layer
                ) -> tuple[mtf.Tensor, Routing]:
                    queries, new, routing = self._project(context, y, tokens, layer)
                    cache = state.caches[layer]
                    caches.append(
                        KeyValues(
                            write_at(cache.keys, new.keys, places, place),
                            write_at(cache.values, new.values, places, place),
                        )
                    )
                    own = position_bias() if self.positions.per_layer else []
                    y = self.attention.attend_queries(
                        context, queries, caches[-1], shared + own, y.shape.dims[-1]
                    )
                    return y, routing

                def attend_memory(y: mtf.Tensor, layer: int = layer) -> mtf.Tensor:
                    y = self.attention.attend(
                        context, y, state.memories[layer], [state.memory_bias]
                    )
                    return y * state.sees_memory

                x, _ = self._layer(
                    context,
                    x,
                    tokens,
                    layer,
                    attend_self,
                    attend_memory if state.memories else None,
                )
            x = self.normalization(context, x, "final_norm")
        return x, dataclasses.replace(state, caches=tuple(caches), visible=visible)

    def _run(
        self,
        context: GraphContext,
        x: mtf.Tensor,
        tokens: Tokens,
        memory: Memory | None,
        padding_is_seen: bool,
    ) -> tuple[mtf.Tensor, Routing, list[KeyValues]]:
        """Whole sequences; also returns the keys and values of self-attention."""
        length, d_model = x.shape.dims[1:]
        self._check_length(length.size)
        made: list[KeyValues] = []
        relative, per_layer = self.positions.relative, self.positions.per_layer
        with context.scope(self.name):
            biases = self._masks(context, tokens, padding_is_seen)
            if relative is not None and not per_layer:
                biases = _sum_without_batch([relative(context, length), *biases])
            attend_memory = None
            if memory is not None:
                attend_memory = self._attend_whole(context, tokens, memory)
            if self.positions.absolute is not None:
                x = self._add_positions(context, x, token_places(tokens))
            x = self._dropout(context, x, "input")
            routing: Routing = []
            for layer in range(self.num_layers):

                def attend_self(
                    y: mtf.Tensor, layer: int = layer
                ) -> tuple[mtf.Tensor, Routing]:
                    queries, kv, routed = self._project(context, y, tokens, layer)
                    made.append(kv)
                    own = biases
                    if relative is not None and per_layer:
                        own = [relative(context, length), *biases]
                    y = self.attention.attend_queries(
                        context, queries, kv, own, d_model
                    )
                    return y, routed

                call = functools.partial(
                    self._layer,
                    context,
                    x,
                    tokens,
                    layer,
                    attend_self,
                    attend_memory,
                )
                again = context.recompute_layers
                x, layer_routing = recompute(context, call) if again else call()
                routing.extend(layer_routing)
            x = self.normalization(context, x, "final_norm")
            x = self._dropout(context, x, "output")
        return x, routing, made

    def _attend_whole(
        self, context: GraphContext, tokens: Tokens, memory: Memory
    ) -> Attend:
        """Cross-attention of whole sequences, whose masks are made here, once."""
        visible = visible_keys(tokens, memory.tokens)
        biases = [hidden_keys_mask(context, visible)]
        sees_memory = mtf.cast(sees_any_key(visible), memory.values.dtype)

        def attend(y: mtf.Tensor) -> mtf.Tensor:
            return self.attention(context, y, memory.values, biases) * sees_memory

        return attend

    def _layer(
        self,
        context: GraphContext,
        x: mtf.Tensor,
        tokens: Tokens,
        layer: int,
        attend_self: SelfAttend,
        attend_memory: Attend | None,
    ) -> tuple[mtf.Tensor, Routing]:
        """One layer; its routing is empty if it is dense."""
        norm = self.normalization
        with context.scope(f"layer_{layer:03d}"):
            y = norm(context, x, "self_attention_norm")
            with context.scope("self_attention"):
                y, routing = attend_self(y)
            x += self._dropout(context, y, "self_attention")
            if attend_memory is not None:
                y = norm(context, x, "cross_attention_norm")
                with context.scope("cross_attention"):
                    y = attend_memory(y)
                x += self._dropout(context, y, "cross_attention")
            sparse = self.is_sparse(layer)
            if self.switch is not None and sparse:
                y = norm(context, x, "feed_forward_norm")
                with context.scope("moe"):
                    y, layer_routing = self.switch(
                        context, y, tokens, self._expert_name(layer, "moe")
                    )
                x += self._dropout(context, y, "feed_forward")
                routing = [*routing, layer_routing]
            if not sparse or self.dense_after_switch:
                name = "dense_feed_forward" if sparse else "feed_forward"
                y = norm(context, x, f"{name}_norm")
                with context.scope(name):
                    y = self.feed_forward(
                        context, y, noise_broadcast_dim=y.shape.dims[1]
                    )
                x += self._dropout(context, y, name)
        return x, routing

    def _project(
        self, context: GraphContext, x: mtf.Tensor, tokens: Tokens, layer: int
    ) -> tuple[mtf.Tensor, KeyValues, Routing]:
        """Queries, keys and values of self-attention."""
        if self.switch_attention is not None and self.has_switch_attention(layer):
            name = self._expert_name(layer, "self_attention")
            queries, made, routing = self.switch_attention.project(
                context, x, tokens, name
            )
            return queries, made, [routing]
        queries = self.attention.queries(context, x)
        return queries, self.attention.keys_values(context, x), []

    def _masks(
        self, context: GraphContext, tokens: Tokens, padding_is_seen: bool
    ) -> list[mtf.Tensor]:
        """What is added to every layer's logits to hide keys, made once."""
        masks = []
        if not self.bidirectional and tokens.prefix is not None:
            masks.append(causal_mask_with_prefix(context, tokens.prefix))
        elif not self.bidirectional:
            masks.append(causal_mask(context, tokens.ids.shape.dims[1]))
        if padding_is_seen:
            # Distances within a segment are those in its row: it lies in one piece.
            masks.append(hidden_keys_mask(context, visible_keys(tokens, tokens)))
        return masks

    def _add_positions(
        self, context: GraphContext, x: mtf.Tensor, places: mtf.Tensor
    ) -> mtf.Tensor:
        if self.positions.absolute is None:
            return x
        return x + self.positions.absolute(context, places, x.shape.dims[-1])

    def _check_length(self, length: int) -> None:
        if self.positions.absolute is not None:
            self.positions.absolute.check_length(length)

    def _expert_name(self, layer: int, kind: str) -> str:
        return f"{self.name}.{layer}.{kind}"

    def _dropout(self, context: GraphContext, x: mtf.Tensor, name: str) -> mtf.Tensor:
        """Dropout whose noise is shared over the length, as in T5."""
        length = x.shape.dims[1]
        return context.dropout(x, self.dropout_rate, name, x.shape - length)


def _sum_without_batch(biases: list[mtf.Tensor]) -> list[mtf.Tensor]:
    """Adds up what is the same for all examples, once rather than in every layer."""
    batch = [bias for bias in biases if "batch" in bias.shape.dimension_names]
    first, *others = [bias for bias in biases if bias not in batch]
    for bias in others:
        first += bias
    return [first, *batch]
