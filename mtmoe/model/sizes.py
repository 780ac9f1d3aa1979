"""Parameters and FLOPs of a model by formula, without building it.

Symbols: V vocab, M d_model, F d_ff, A heads * d_kv, E experts, L inputs, T targets.
"""

from __future__ import annotations

import dataclasses

from mtmoe.errors import ConfigError
from mtmoe.model.feedforward import FeedForward
from mtmoe.model.moe.layer import MixtureOfExpertsLayer
from mtmoe.model.moe.routers.hash import HashRouter
from mtmoe.model.moe.routers.random import RandomRouter
from mtmoe.model.moe.routers.top_k import TopKRouter
from mtmoe.model.stack import Stack
from mtmoe.model.transformer import Transformer


@dataclasses.dataclass(frozen=True)
class ParameterCount:
    """Trainable parameters by what they are for, biases with their matrices.

    Attributes:
      embedding: the token table, and the logits' matrix if untied.
      attention: projections of self- and cross-attention.
      feed_forward: dense feed-forward networks and shared experts.
      experts: all experts of all layers.
      routers: router matrices.
      normalization: scales and biases of the norms.
      positions: relative position tables, or learned positions.
    """

    embedding: int = 0
    attention: int = 0
    feed_forward: int = 0
    experts: int = 0
    routers: int = 0
    normalization: int = 0
    positions: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return sum(dataclasses.astuple(self))

    def __add__(self, other: ParameterCount) -> ParameterCount:
        """Adds up by kind."""
        pairs = zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)
        return ParameterCount(*(a + b for a, b in pairs))


@dataclasses.dataclass(frozen=True)
class ForwardFlops:
    """Floating-point operations of a forward pass over one example; 2 per product.

    Every position counts, padding too, and the experts a token asks for: the published
    counts. What capacity adds is computed on empty slots and is the planner's business.

    Attributes:
      projections: attention projections.
      feed_forward: dense feed-forward networks and experts.
      attention: q k^T and the weighted sums of v, of whole matrices: what is causal is
        computed and hidden.
      routers: router logits.
      logits: output vocabulary.
    """

    projections: int = 0
    feed_forward: int = 0
    attention: int = 0
    routers: int = 0
    logits: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return sum(dataclasses.astuple(self))

    @property
    def published(self) -> int:
        """Projections and feed-forward alone.

        This is what Fedus et al. 2022, table 9 ("FLOPs/seq") turns out to count: 124 G
        for T5-Base and Switch-Base with 512 inputs and 114 targets.
        """
        return self.projections + self.feed_forward

    @property
    def training_with_recomputation(self) -> int:
        """Forward and backward, and the layers' forward once more; no routers.

        Narayanan et al. 2021, equation 3, on which Artetxe et al. 2022 base their
        ZFLOPs: 96 T L M^2 (1 + s / 6M + V / 16LM) for dense layers with F = 4M = 4A.
        """
        layers = self.projections + self.feed_forward + self.attention
        return 4 * layers + 3 * self.logits

    def __add__(self, other: ForwardFlops) -> ForwardFlops:
        """Adds up by kind."""
        pairs = zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)
        return ForwardFlops(*(a + b for a, b in pairs))


def count_parameters(model: Transformer) -> ParameterCount:
    """Counts the trainable parameters of `model`."""
    tables = 1 if model.tied_embeddings else 2
    total = ParameterCount(embedding=tables * model.vocab_size * model.d_model)
    for stack in model.stacks:
        total += _stack_parameters(model, stack)
    return total


def activated_parameters(model: Transformer) -> int:
    """Counts the parameters that one token meets: of the experts, those it asks for.

    "n_act-params" of GLaM (Du et al. 2022, table 4); the whole router and the whole
    embedding count.
    """
    count = count_parameters(model)
    idle = 0
    for stack in model.stacks:
        for layer in range(stack.num_layers):
            for experts in _expert_layers(stack, layer):
                config = experts.config
                unused = config.num_experts - config.router.num_choices
                idle += unused * experts.expert.num_parameters(model.d_model)
    return count.total - idle


def forward_flops(
    model: Transformer, input_length: int, target_length: int
) -> ForwardFlops:
    """Counts the operations of one example's forward pass.

    Args:
      model: the model.
      input_length: encoder positions, L; 0 for a decoder alone.
      target_length: decoder positions, T.

    Raises:
      ConfigError: inputs for a model without an encoder.
    """
    if input_length and not model.takes_inputs:
        raise ConfigError(
            f"{type(model).__name__} has no encoder: input_length must be 0, got "
            f"{input_length}"
        )
    total = ForwardFlops(
        logits=2 * target_length * model.d_model * model.vocab_size,
    )
    for stack in model.stacks:
        length = input_length if stack.bidirectional else target_length
        total += _stack_flops(model, stack, length, input_length)
    return total


def _stack_parameters(model: Transformer, stack: Stack) -> ParameterCount:
    width = model.d_model
    cross = _has_cross_attention(model, stack)
    plain = stack.attention.num_parameters(width)
    # Experts make queries and keys; what remains is the output projection.
    output = model.num_heads * model.d_kv * width + (width if model.use_bias else 0)
    attention = feed_forward = experts = routers = 0
    norms = 1
    for layer in range(stack.num_layers):
        attention += output if stack.has_switch_attention(layer) else plain
        attention += plain if cross else 0
        for expert_layer in _expert_layers(stack, layer):
            config, expert = expert_layer.config, expert_layer.expert
            experts += config.num_experts * expert.num_parameters(width)
            routers += _router_matrices(expert_layer) * width * config.num_experts
            for shared in _shared(expert_layer):
                feed_forward += shared.num_parameters(width)
        dense = _dense_networks(stack, layer)
        feed_forward += dense * stack.feed_forward.num_parameters(width)
        norms += 1 + cross + dense + stack.is_sparse(layer)
    positions = 0
    if stack.positions.relative is not None:
        tables = stack.num_layers if stack.positions.per_layer else 1
        positions = tables * model.relative_position_buckets * model.num_heads
    if stack.positions.absolute is not None:
        positions = stack.positions.absolute.num_parameters(width)
    return ParameterCount(
        attention=attention,
        feed_forward=feed_forward,
        experts=experts,
        routers=routers,
        normalization=norms * stack.normalization.num_parameters * width,
        positions=positions,
    )


def _stack_flops(
    model: Transformer, stack: Stack, length: int, memory_length: int
) -> ForwardFlops:
    heads = model.num_heads * model.d_kv
    projection = 2 * model.d_model * heads
    cross = _has_cross_attention(model, stack)
    projections = attention = feed_forward = routers = 0
    for layer in range(stack.num_layers):
        projections += (
            length * projection * (1 if stack.has_switch_attention(layer) else 4)
        )
        attention += 4 * length * length * heads
        if cross:
            projections += 2 * projection * (length + memory_length)
            attention += 4 * length * memory_length * heads
        dense = _dense_networks(stack, layer)
        feed_forward += length * dense * _products(stack.feed_forward, model)
        for experts in _expert_layers(stack, layer):
            config = experts.config
            networks = [experts.expert] * config.router.num_choices + _shared(experts)
            feed_forward += length * sum(_products(x, model) for x in networks)
            matrices = _router_matrices(experts)
            routers += 2 * length * matrices * model.d_model * config.num_experts
    return ForwardFlops(
        projections=projections,
        feed_forward=feed_forward,
        attention=attention,
        routers=routers,
    )


def _has_cross_attention(model: Transformer, stack: Stack) -> bool:
    return model.takes_inputs and not stack.bidirectional


def _expert_layers(stack: Stack, layer: int) -> list[MixtureOfExpertsLayer]:
    layers = []
    if stack.switch_attention is not None and stack.has_switch_attention(layer):
        layers.append(stack.switch_attention.experts)
    if stack.switch is not None and stack.is_sparse(layer):
        layers.append(stack.switch)
    return layers


def _dense_networks(stack: Stack, layer: int) -> int:
    return int(not stack.is_sparse(layer) or stack.dense_after_switch)


def _shared(experts: MixtureOfExpertsLayer) -> list[FeedForward]:
    """The expert that every token sees, if there is one."""
    width = experts.config.shared_d_ff
    return [dataclasses.replace(experts.expert, d_ff=width)] if width else []


def _products(network: FeedForward, model: Transformer) -> int:
    """FLOPs of a network on one token: two per weight."""
    weights = dataclasses.replace(network, use_bias=False)
    return 2 * weights.num_parameters(model.d_model)


def _router_matrices(experts: MixtureOfExpertsLayer) -> int:
    """Matrices [d_model, experts] of a router."""
    router = experts.config.router
    if isinstance(router, (HashRouter, RandomRouter)):
        return 0
    return 2 if isinstance(router, TopKRouter) and router.learned_noise else 1
