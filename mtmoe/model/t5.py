"""T5's blocks, and the flat fields that the shipped models are configured by."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Protocol

from mtmoe.errors import ConfigError, UnknownNameError
from mtmoe.model.activations import ACTIVATIONS
from mtmoe.model.attention.cross_attention import CrossAttention
from mtmoe.model.attention.multi_head import MultiHeadAttention
from mtmoe.model.attention.self_attention import SelfAttention
from mtmoe.model.attention.switch import SwitchAttention
from mtmoe.model.embeddings import Embedding, TokenEmbedding
from mtmoe.model.feedforward import DenseFeedForward, FeedForward
from mtmoe.model.logits import Logits, TiedLogits, UntiedLogits
from mtmoe.model.moe.feedforward import SparseFeedForward
from mtmoe.model.moe.layer import MixtureOfExpertsLayer
from mtmoe.model.moe.mixture import MixtureOfExperts
from mtmoe.model.normalization import Normalization, named_normalization
from mtmoe.model.positions.named import Positions, named_positions
from mtmoe.model.positions.relative import Buckets, RelativePositionBias
from mtmoe.model.residual import Entry, Residual
from mtmoe.model.stack import Stack
from mtmoe.model.sublayer import Sublayer
from mtmoe.ranges import Count, Natural, Positive, Rate, check_fields


@dataclasses.dataclass(frozen=True, kw_only=True)
class StackPlan:
    """What the blocks of one stack are made from.

    Attributes:
      name: of the stack, "encoder" or "decoder".
      model: the fields that all stacks share.
      num_layers: number of layers.
      bidirectional: whether its tokens see those after them.
      has_memory: whether there is something to cross-attend to.
      moe: the experts of its feed-forward networks; None for none.
      whole_prefix: see `Stack`.
    """

    name: str
    model: T5Fields
    num_layers: int
    bidirectional: bool
    has_memory: bool
    moe: MixtureOfExperts | None
    whole_prefix: bool = True

    @property
    def normalization(self) -> Normalization:
        """The norm of the model's name."""
        return named_normalization(self.model.normalization)

    @property
    def positions(self) -> Positions:
        """The positions of the model's name."""
        model = self.model
        relative = RelativePositionBias(
            model.num_heads,
            self.bidirectional,
            model.relative_position_buckets,
            model.relative_position_max_distance,
            model.initialization_scale,
        )
        return named_positions(model.positions, relative, model.max_positions)

    @property
    def attention(self) -> MultiHeadAttention:
        """Heads of self- and of cross-attention."""
        model = self.model
        return MultiHeadAttention(
            model.num_heads,
            model.d_kv,
            model.dropout_rate,
            model.initialization_scale,
            model.use_bias,
            model.scale_attention,
        )

    @property
    def network(self) -> FeedForward:
        """A dense feed-forward network."""
        model = self.model
        return FeedForward(
            model.d_ff,
            model.activation,
            model.dropout_rate,
            model.initialization_scale,
            model.use_bias,
        )

    @property
    def expert(self) -> FeedForward:
        """One expert's network."""
        model = self.model
        return dataclasses.replace(
            self.network,
            d_ff=model.expert_d_ff or model.d_ff,
            activation=model.expert_activation or model.activation,
        )

    def is_sparse(self, layer: int) -> bool:
        """Whether a layer (from 0) is one of those that experts are for."""
        every = self.model.expert_layer_every
        return every > 0 and (layer + 1) % every == 0

    def residual(self, name: str, sublayer: Sublayer, scope: str = "") -> Residual:
        """Wraps a sublayer in the model's norm and dropout."""
        return Residual(
            name=name,
            sublayer=sublayer,
            scope=scope,
            norm=self.normalization,
            dropout_rate=self.model.dropout_rate,
        )


class Architecture(Protocol):
    """Makes the stacks of a model."""

    def __call__(self, plan: StackPlan) -> Stack:
        """Makes one stack."""
        ...


def t5_stack(plan: StackPlan) -> Stack:
    """Returns a stack of `t5_blocks`, with the model's positions and a last norm."""
    positions = plan.positions
    return Stack(
        name=plan.name,
        entries=t5_blocks(plan),
        bidirectional=plan.bidirectional,
        whole_prefix=plan.whole_prefix,
        relative=None if positions.per_layer else positions.relative,
        absolute=positions.absolute,
        norm=plan.normalization,
        dropout_rate=plan.model.dropout_rate,
    )


def t5_blocks(plan: StackPlan) -> tuple[Entry, ...]:
    """Returns pre-norm layers of attention, cross-attention and a network.

    T5 1.1 (Raffel et al. 2020); layers of experts stand where `plan.is_sparse` says
    (Switch Transformer, Fedus et al. 2022).
    """
    return tuple(
        Entry(tuple(_t5_layer(plan, layer)), f"layer_{layer:03d}")
        for layer in range(plan.num_layers)
    )


def _t5_layer(plan: StackPlan, layer: int) -> Iterator[Residual]:
    model, sparse = plan.model, plan.is_sparse(layer)
    positions = plan.positions
    relative = positions.relative if positions.per_layer else None
    attention: SelfAttention = SelfAttention(plan.attention, relative)
    if model.attention_moe is not None and sparse:
        attention = SwitchAttention.make(
            plan.attention,
            model.attention_moe,
            plan.expert,
            causal=not plan.bidirectional,
            relative=relative,
        )
    yield plan.residual("self_attention", attention)
    if plan.has_memory:
        yield plan.residual("cross_attention", CrossAttention(plan.attention))
    dense = DenseFeedForward(plan.network)
    if plan.moe is None or not sparse:
        yield plan.residual("feed_forward", dense)
        return
    experts = MixtureOfExpertsLayer(plan.moe, plan.expert, not plan.bidirectional)
    yield plan.residual("feed_forward", SparseFeedForward(experts), "moe")
    if model.dense_after_experts:
        yield plan.residual("dense_feed_forward", dense)


@dataclasses.dataclass(frozen=True, kw_only=True)
class T5Fields:
    """Fields of the shipped models; T5 1.1 (Raffel et al. 2020), but for ReLU.

    Attributes:
      vocab_size: rows of the embedding, at least the number of token ids.
      d_model: width of the residual stream.
      d_ff: hidden width of a dense feed-forward network.
      num_heads: attention heads.
      d_kv: width of a head.
      activation: of dense feed-forward networks: "relu", "gelu", "gelu_exact", "silu",
        "geglu" or "swiglu".
      expert_activation: of an expert; `activation` if None.
      expert_d_ff: hidden width of an expert; `d_ff` if None.
      normalization: "rms_norm" or "layer_norm".
      positions: "relative_bias" (one table a stack), "relative_bias_per_layer",
        "sinusoidal", "learned" or "none".
      max_positions: most places of a row, where positions are learned.
      use_bias: whether every projection adds a bias, the router's and the logits' not.
      scale_attention: whether attention logits are divided by sqrt(d_kv) rather than
        that being in the initial scale of the queries.
      moe: the experts of the feed-forward networks; None for none.
      attention_moe: the experts of self-attention (`SwitchAttention`); None for none.
      expert_layer_every: layer i of each stack has experts iff
        i % expert_layer_every == expert_layer_every - 1; 0 for a dense model.
      dense_after_experts: whether a dense feed-forward network follows the experts in
        their layers, as a branch of its own (ST-MoE: Zoph et al. 2022, appendix C).
      tied_embeddings: whether logits share the embedding table.
      dropout_rate: everywhere but inside experts, whose rate `moe` has.
      initialization_scale: s of sigma = sqrt(s / fan_in), for all weight matrices; the
        Switch paper takes 0.1.
      relative_position_buckets: buckets of the position bias.
      relative_position_max_distance: distance at which the last bucket begins.
      architecture: makes the stacks from these fields; `t5_stack` if None.
      inputs: makes the embedding from these fields; a table of tokens if None.
      outputs: makes the logits from these fields; see `tied_embeddings` if None.
    """

    vocab_size: Count
    d_model: Count
    d_ff: Count
    num_heads: Count
    d_kv: Count
    activation: str = "relu"
    expert_activation: str | None = None
    expert_d_ff: Count | None = None
    normalization: str = "rms_norm"
    positions: str = "relative_bias"
    max_positions: Natural = 0
    use_bias: bool = False
    scale_attention: bool = False
    moe: MixtureOfExperts | None = None
    attention_moe: MixtureOfExperts | None = None
    expert_layer_every: Natural = 2
    dense_after_experts: bool = False
    tied_embeddings: bool = True
    dropout_rate: Rate = 0.0
    initialization_scale: Positive = 0.1
    relative_position_buckets: Buckets = 32
    relative_position_max_distance: Count = 128
    architecture: Architecture | None = None
    inputs: Callable[[T5Fields], Embedding] | None = None
    outputs: Callable[[T5Fields], Logits] | None = None

    def __post_init__(self) -> None:
        """Checks ranges and names, and that the layers fit together."""
        check_fields(self)
        name = type(self).__name__
        if self.relative_position_max_distance <= self.relative_position_buckets // 2:
            raise ConfigError(
                f"{name}.relative_position_max_distance is "
                f"{self.relative_position_max_distance}; it must be above half of "
                f"{name}.relative_position_buckets, {self.relative_position_buckets}: "
                "nearer distances have a bucket each"
            )
        for field in ("activation", "expert_activation"):
            value = getattr(self, field)
            if value is not None and value not in ACTIVATIONS:
                raise UnknownNameError(
                    "activation", value, ACTIVATIONS, f"{name}.{field}"
                )
        self._check_experts()

    def _check_experts(self) -> None:
        """Checks that the layers of experts fit the model and each other."""
        name = type(self).__name__
        sparse = {
            field.name: config
            for field in dataclasses.fields(self)
            if isinstance(config := getattr(self, field.name), MixtureOfExperts)
        }
        experts = {field: config.num_experts for field, config in sparse.items()}
        if len(set(experts.values())) > 1:
            raise ConfigError(
                f"{' and '.join(f'{name}.{field}' for field in sparse)} must have the "
                f"same number of experts, got {experts}"
            )
        for field, config in sparse.items():
            config.router.check_vocabulary(self.vocab_size, name, field)

    @property
    def embedding(self) -> Embedding:
        """Makes the input of the stacks, which share it."""
        if self.inputs is not None:
            return self.inputs(self)
        return TokenEmbedding(self.vocab_size, self.d_model)

    @property
    def logits(self) -> Logits:
        """Scores the vocabulary."""
        if self.outputs is not None:
            return self.outputs(self)
        if not self.tied_embeddings:
            return UntiedLogits(self.vocab_size, self.initialization_scale)
        if not isinstance(table := self.embedding, TokenEmbedding):
            name = type(self).__name__
            raise ConfigError(
                f"{name}.tied_embeddings needs a table of tokens, which {name}.inputs "
                "does not make; set it to False, or set "
                f"{name}.outputs"
            )
        return TiedLogits(table)

    def stack(self, plan: StackPlan) -> Stack:
        """Makes a stack of the model's architecture."""
        return (self.architecture or t5_stack)(plan)
