"""What encoder-decoders and decoders alone have in common."""

from __future__ import annotations

import abc
import dataclasses

from mtmoe.errors import ConfigError, UnknownNameError
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.model.activations import ACTIVATIONS
from mtmoe.model.attention.multi_head import MultiHeadAttention
from mtmoe.model.attention.switch import SwitchAttention
from mtmoe.model.embeddings import TokenEmbedding
from mtmoe.model.features import Tokens
from mtmoe.model.feedforward import FeedForward
from mtmoe.model.moe.layer import MixtureOfExperts, MixtureOfExpertsLayer
from mtmoe.model.moe.routers.hash import HashRouter
from mtmoe.model.moe.statistics import LayerRouting
from mtmoe.model.normalization import named_normalization
from mtmoe.model.positions import Buckets, RelativePositionBias, named_positions
from mtmoe.model.stack import Stack
from mtmoe.model.stack_state import StackState
from mtmoe.ranges import Count, Natural, Positive, Rate, check_fields


@dataclasses.dataclass(frozen=True)
class ModelOutput:
    """What a model returns.

    Attributes:
      logits: float32 [batch, length, vocab], one row per target position.
      routing: one entry per layer of experts, encoder first; empty for a dense model.
    """

    logits: mtf.Tensor
    routing: tuple[LayerRouting, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Transformer(abc.ABC):
    """Pre-norm residual layers; T5 1.1 (Raffel et al. 2020) by default, but for ReLU.

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
        sparse = {
            field: config
            for field in ("moe", "attention_moe")
            if (config := getattr(self, field)) is not None
        }
        experts = {field: config.num_experts for field, config in sparse.items()}
        if len(set(experts.values())) > 1:
            raise ConfigError(
                f"{name}.moe and {name}.attention_moe must have the same number of "
                f"experts, got {experts}"
            )
        for field, config in sparse.items():
            router = config.router
            if isinstance(router, HashRouter) and router.vocab_size < self.vocab_size:
                raise ConfigError(
                    f"HashRouter.vocab_size of {name}.{field} is {router.vocab_size:,},"
                    f" it must be at least {name}.vocab_size, {self.vocab_size:,}: "
                    "every token id needs an expert"
                )
        _ = self.stacks  # each part checks its own fields

    @property
    @abc.abstractmethod
    def stacks(self) -> tuple[Stack, ...]:
        """The stacks in the order they run."""

    @property
    @abc.abstractmethod
    def decoder(self) -> Stack:
        """The decoder's stack."""

    @property
    @abc.abstractmethod
    def takes_inputs(self) -> bool:
        """Whether there are inputs beside the targets."""

    @abc.abstractmethod
    def __call__(
        self, context: GraphContext, inputs: Tokens | None, targets: Tokens
    ) -> ModelOutput:
        """Scores each target token given the inputs and the targets before it."""

    @abc.abstractmethod
    def start_decoding(
        self, context: GraphContext, inputs: Tokens, max_length: int
    ) -> StackState:
        """Reads what is given and returns the state before the first step.

        Args:
          context: graph being built.
          inputs: what is given, one example a row.
          max_length: most tokens to decode.
        """

    def decode_step(
        self,
        context: GraphContext,
        decoder: Tokens,
        state: StackState,
        position: mtf.Tensor,
    ) -> tuple[mtf.Tensor, StackState]:
        """Scores one token more; see `Stack.step`.

        Args:
          context: graph being built.
          decoder: [batch, length=1], the token decoded last, 0 at the first step.
          state: what was left by `start_decoding` or the step before.
          position: int32 scalar, number of the step from 0.

        Returns:
          float32 logits [batch, length=1, vocab], and the state after this step.
        """
        x = self.embedding.embed(context, decoder.ids)
        x, state = self.decoder.step(context, x, decoder, state, position)
        return self.embedding.logits(context, x), state

    @property
    def embedding(self) -> TokenEmbedding:
        """The token embedding and logits."""
        return TokenEmbedding(
            self.vocab_size,
            self.d_model,
            tied=self.tied_embeddings,
            initialization_scale=self.initialization_scale,
        )

    def switch_layer_names(self) -> tuple[str, ...]:
        """Names of the layers of experts in the order of `ModelOutput.routing`."""
        return tuple(
            name for stack in self.stacks for name in stack.switch_layer_names()
        )

    def stack(self, name: str, num_layers: int, bidirectional: bool) -> Stack:
        """Makes a stack of this model's layers.

        Args:
          name: scope of its variables.
          num_layers: number of layers.
          bidirectional: whether its tokens see those after them.
        """
        scale = self.initialization_scale
        dense = FeedForward(
            self.d_ff, self.activation, self.dropout_rate, scale, self.use_bias
        )
        expert = dataclasses.replace(
            dense,
            d_ff=self.expert_d_ff or self.d_ff,
            activation=self.expert_activation or self.activation,
        )
        attention = MultiHeadAttention(
            self.num_heads,
            self.d_kv,
            self.dropout_rate,
            scale,
            self.use_bias,
            self.scale_attention,
        )
        relative = RelativePositionBias(
            self.num_heads,
            bidirectional,
            self.relative_position_buckets,
            self.relative_position_max_distance,
            scale,
        )
        switch = switch_attention = None
        if self.moe is not None and self.expert_layer_every:
            switch = MixtureOfExpertsLayer(self.moe, expert, causal=not bidirectional)
        if self.attention_moe is not None and self.expert_layer_every:
            switch_attention = SwitchAttention.make(
                attention, self.attention_moe, expert, causal=not bidirectional
            )
        return Stack(
            name=name,
            num_layers=num_layers,
            attention=attention,
            feed_forward=dense,
            bidirectional=bidirectional,
            positions=named_positions(self.positions, relative, self.max_positions),
            normalization=named_normalization(self.normalization),
            switch=switch,
            switch_attention=switch_attention,
            switch_every=self.expert_layer_every,
            dense_after_switch=self.dense_after_experts,
            dropout_rate=self.dropout_rate,
        )
