"""A decoder alone: language model and prefix language model."""

from __future__ import annotations

import dataclasses

import gin

from mtmoe.model.stack import Stack
from mtmoe.model.t5 import StackPlan, T5Fields
from mtmoe.ranges import Count


@gin.configurable
@dataclasses.dataclass(frozen=True, kw_only=True)
class DecoderOnly(T5Fields):
    """GPT (Radford et al. 2018), GLaM (Du et al. 2022): each token given those before.

    Attributes:
      num_layers: number of layers.
      bidirectional_prefix: whether all tokens of a prefix (`Tokens.prefix`), and all of
        a prompt, see each other; if not they are read as all others are. Tokens of such
        a prefix are seen before they are scored, so their `loss_weights` must be 0.
    """

    num_layers: Count
    bidirectional_prefix: bool = True

    def __post_init__(self) -> None:
        """Checks the fields; each part checks its own."""
        super().__post_init__()
        _ = self.decoder

    @property
    def encoder(self) -> None:
        """There is none."""

    @property
    def decoder(self) -> Stack:
        """Writes the tokens."""
        plan = StackPlan(
            name="decoder",
            model=self,
            num_layers=self.num_layers,
            bidirectional=False,
            has_memory=False,
            moe=self.moe,
            whole_prefix=self.bidirectional_prefix,
        )
        return self.stack(plan)
