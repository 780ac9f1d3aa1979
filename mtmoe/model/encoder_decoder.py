"""The text-to-text model: an encoder reads the inputs, a decoder writes the targets."""

from __future__ import annotations

import dataclasses

import gin

from mtmoe.model.moe.mixture import MixtureOfExperts
from mtmoe.model.stack import Stack
from mtmoe.model.t5 import StackPlan, T5Fields
from mtmoe.ranges import Count


@gin.configurable
@dataclasses.dataclass(frozen=True, kw_only=True)
class EncoderDecoder(T5Fields):
    """T5 1.1 (Raffel et al. 2020) or Switch Transformer (Fedus et al. 2022).

    Attributes:
      num_encoder_layers: layers of the encoder.
      num_decoder_layers: layers of the decoder.
      encoder_moe: experts of the encoder in place of `moe`, as those of a router that
        looks at later tokens.
      decoder_moe: experts of the decoder in place of `moe`.
    """

    num_encoder_layers: Count
    num_decoder_layers: Count
    encoder_moe: MixtureOfExperts | None = None
    decoder_moe: MixtureOfExperts | None = None

    def __post_init__(self) -> None:
        """Checks the fields; each part checks its own."""
        super().__post_init__()
        _ = self.encoder, self.decoder

    @property
    def encoder(self) -> Stack:
        """Reads the inputs."""
        plan = StackPlan(
            name="encoder",
            model=self,
            num_layers=self.num_encoder_layers,
            bidirectional=True,
            has_memory=False,
            moe=self.encoder_moe or self.moe,
        )
        return self.stack(plan)

    @property
    def decoder(self) -> Stack:
        """Writes the targets."""
        plan = StackPlan(
            name="decoder",
            model=self,
            num_layers=self.num_decoder_layers,
            bidirectional=False,
            has_memory=True,
            moe=self.decoder_moe or self.moe,
        )
        return self.stack(plan)
