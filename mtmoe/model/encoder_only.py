"""An encoder alone: each token given all others, as BERT and ALBERT are trained."""

from __future__ import annotations

import dataclasses

import gin

from mtmoe.model.stack import Stack
from mtmoe.model.t5 import StackPlan, T5Fields
from mtmoe.ranges import Count


@gin.configurable
@dataclasses.dataclass(frozen=True, kw_only=True)
class EncoderOnly(T5Fields):
    """Scores the target of each place given all inputs (Devlin et al. 2019).

    Attributes:
      num_layers: number of layers.
    """

    num_layers: Count

    def __post_init__(self) -> None:
        """Checks the fields; each part checks its own."""
        super().__post_init__()
        _ = self.encoder

    @property
    def encoder(self) -> Stack:
        """Reads the inputs."""
        plan = StackPlan(
            name="encoder",
            model=self,
            num_layers=self.num_layers,
            bidirectional=True,
            has_memory=False,
            moe=self.moe,
        )
        return self.stack(plan)

    @property
    def decoder(self) -> None:
        """There is none."""
