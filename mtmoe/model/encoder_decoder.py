"""The text-to-text model: T5 1.1, with Switch layers in place of some feed-forwards."""

from __future__ import annotations

import dataclasses

import gin

from mtmoe.errors import ConfigError
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.model.attention.multi_head import MultiHeadAttention
from mtmoe.model.embeddings import TokenEmbedding
from mtmoe.model.features import Tokens, shift_right
from mtmoe.model.feedforward import FeedForward
from mtmoe.model.moe.layer import MixtureOfExperts, SwitchLayer
from mtmoe.model.moe.statistics import LayerRouting
from mtmoe.model.positions import RelativePositionBias
from mtmoe.model.stack import Memory, Stack


@dataclasses.dataclass(frozen=True)
class ModelOutput:
    """What the model returns.

    Attributes:
      logits: float32 [batch, length, vocab], one row per target position.
      routing: one entry per Switch layer, encoder first; empty for a dense model.
    """

    logits: mtf.Tensor
    routing: tuple[LayerRouting, ...]


@gin.configurable
@dataclasses.dataclass(frozen=True)
class EncoderDecoder:
    """T5 1.1 (Raffel et al. 2020) or Switch Transformer (Fedus et al. 2022).

    Pre-norm residual layers, RMS norm, relative position bias shared over the layers of
    a stack, no biases.

    Attributes:
      vocab_size: rows of the embedding, at least the number of token ids.
      d_model: width of the residual stream.
      d_ff: hidden width of a feed-forward network, dense or one expert's.
      num_heads: attention heads.
      d_kv: width of a head.
      num_encoder_layers: layers of the encoder.
      num_decoder_layers: layers of the decoder.
      activation: "relu" or "geglu".
      moe: the Switch layers; None for a dense model.
      expert_layer_every: layer i of each stack is a Switch layer iff
        i % expert_layer_every == expert_layer_every - 1; 0 for a dense model.
      tied_embeddings: whether logits share the embedding table.
      dropout_rate: everywhere but inside experts, whose rate `moe` has.
      initialization_scale: s of sigma = sqrt(s / fan_in), for all weight matrices; the
        Switch paper takes 0.1.
      relative_position_buckets: buckets of the position bias.
      relative_position_max_distance: distance at which the last bucket begins.
    """

    vocab_size: int
    d_model: int
    d_ff: int
    num_heads: int
    d_kv: int
    num_encoder_layers: int
    num_decoder_layers: int
    activation: str = "relu"
    moe: MixtureOfExperts | None = None
    expert_layer_every: int = 2
    tied_embeddings: bool = True
    dropout_rate: float = 0.0
    initialization_scale: float = 0.1
    relative_position_buckets: int = 32
    relative_position_max_distance: int = 128

    def __post_init__(self) -> None:
        """Checks the spacing of the Switch layers."""
        if self.expert_layer_every < 0:
            raise ConfigError(
                "EncoderDecoder.expert_layer_every must be 0 (dense) or more, got "
                f"{self.expert_layer_every}"
            )

    @property
    def encoder(self) -> Stack:
        """The encoder's stack."""
        return self._stack("encoder", self.num_encoder_layers, bidirectional=True)

    @property
    def decoder(self) -> Stack:
        """The decoder's stack."""
        return self._stack("decoder", self.num_decoder_layers, bidirectional=False)

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
        """Names of the Switch layers in the order of `ModelOutput.routing`."""
        return tuple(
            f"{stack.name}.{layer}.moe"
            for stack in (self.encoder, self.decoder)
            for layer in range(stack.num_layers)
            if stack.is_sparse(layer)
        )

    def __call__(
        self, context: GraphContext, inputs: Tokens, targets: Tokens
    ) -> ModelOutput:
        """Scores each target token given the inputs and the targets before it.

        In packed rows each segment is scored as if it had a row of its own.

        Args:
          context: graph being built.
          inputs: the encoder's tokens.
          targets: the tokens to score, of any other length; packed iff the inputs are.
        """
        memory, encoder_routing = self.encode(context, inputs)
        # The decoder reads the targets one step late; 0 stands before the first.
        decoder = dataclasses.replace(targets, ids=shift_right(targets))
        logits, decoder_routing = self.decode(context, memory, decoder)
        return ModelOutput(logits, encoder_routing + decoder_routing)

    def encode(
        self, context: GraphContext, inputs: Tokens
    ) -> tuple[Memory, tuple[LayerRouting, ...]]:
        """Encodes the inputs."""
        x = self.embedding.embed(context, inputs.ids)
        values, routing = self.encoder(context, x, inputs)
        return Memory(values, inputs), routing

    def decode(
        self,
        context: GraphContext,
        memory: Memory,
        decoder: Tokens,
    ) -> tuple[mtf.Tensor, tuple[LayerRouting, ...]]:
        """Scores the token after each decoder input.

        Args:
          context: graph being built.
          memory: the encoder's output.
          decoder: the decoder's inputs, 0 first; a score is wanted where `nonpadding`
            is 1.

        Returns:
          float32 logits [batch, length, vocab], and the routing of each Switch layer.
        """
        x = self.embedding.embed(context, decoder.ids)
        x, routing = self.decoder(context, x, decoder, memory)
        return self.embedding.logits(context, x), routing

    def _stack(self, name: str, num_layers: int, bidirectional: bool) -> Stack:
        feed_forward = FeedForward(
            self.d_ff, self.activation, self.dropout_rate, self.initialization_scale
        )
        switch = None
        if self.moe is not None and self.expert_layer_every > 0:
            switch = SwitchLayer(self.moe, feed_forward)
        return Stack(
            name=name,
            num_layers=num_layers,
            attention=MultiHeadAttention(
                self.num_heads, self.d_kv, self.dropout_rate, self.initialization_scale
            ),
            position_bias=RelativePositionBias(
                self.num_heads,
                bidirectional,
                self.relative_position_buckets,
                self.relative_position_max_distance,
                self.initialization_scale,
            ),
            feed_forward=feed_forward,
            switch=switch,
            switch_every=self.expert_layer_every,
            dropout_rate=self.dropout_rate,
        )
