"""The text-to-text model: T5 1.1, with Switch layers in place of some feed-forwards."""

from __future__ import annotations

import dataclasses

import gin

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.model.features import Tokens, shift_right
from mtmoe.model.moe.statistics import LayerRouting
from mtmoe.model.stack import Stack
from mtmoe.model.stack_state import Memory, StackState
from mtmoe.model.transformer import ModelOutput, Transformer
from mtmoe.ranges import Count


@gin.configurable
@dataclasses.dataclass(frozen=True, kw_only=True)
class EncoderDecoder(Transformer):
    """T5 1.1 (Raffel et al. 2020) or Switch Transformer (Fedus et al. 2022).

    Attributes:
      num_encoder_layers: layers of the encoder.
      num_decoder_layers: layers of the decoder.
    """

    num_encoder_layers: Count
    num_decoder_layers: Count

    @property
    def stacks(self) -> tuple[Stack, ...]:
        """Encoder and decoder."""
        return (self.encoder, self.decoder)

    @property
    def encoder(self) -> Stack:
        """The encoder's stack."""
        return self.stack("encoder", self.num_encoder_layers, bidirectional=True)

    @property
    def decoder(self) -> Stack:
        """The decoder's stack."""
        return self.stack("decoder", self.num_decoder_layers, bidirectional=False)

    @property
    def takes_inputs(self) -> bool:
        """The encoder does."""
        return True

    def __call__(
        self, context: GraphContext, inputs: Tokens | None, targets: Tokens
    ) -> ModelOutput:
        """Scores each target token given the inputs and the targets before it.

        In packed rows each segment is scored as if it had a row of its own.

        Args:
          context: graph being built.
          inputs: the encoder's tokens.
          targets: the tokens to score, of any other length; packed iff the inputs are.

        Raises:
          ValueError: there are no inputs.
        """
        if inputs is None:
            raise ValueError("an encoder-decoder needs inputs")
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
          float32 logits [batch, length, vocab], and the routing of the experts.
        """
        x = self.embedding.embed(context, decoder.ids)
        x, routing = self.decoder(context, x, decoder, memory)
        return self.embedding.logits(context, x), routing

    def start_decoding(
        self, context: GraphContext, inputs: Tokens, max_length: int
    ) -> StackState:
        """Encodes the inputs; see `Transformer.start_decoding`."""
        memory, _ = self.encode(context, inputs)
        batch = inputs.ids.shape.dims[0]
        return self.decoder.start(context, batch, max_length, memory)
