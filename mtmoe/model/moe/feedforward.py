"""A layer of experts in the place of a feed-forward network."""

from __future__ import annotations

import dataclasses

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.model.counts import Lengths, Sizes
from mtmoe.model.moe.layer import MixtureOfExpertsLayer
from mtmoe.model.sublayer import Output, PositionWise, Surroundings


@dataclasses.dataclass(frozen=True)
class SparseFeedForward(PositionWise):
    """Each token sees the experts that the router chose for it.

    Attributes:
      experts: the layer.
    """

    experts: MixtureOfExpertsLayer

    def call(
        self, context: GraphContext, x: mtf.Tensor, around: Surroundings
    ) -> Output:
        """Applies it, x [batch, length, d_model]."""
        y, routing = self.experts(context, x, around.tokens, around.where)
        return Output(y, (routing,))

    def sizes(self, lengths: Lengths) -> Sizes:
        """Counts the experts and the router."""
        return self.experts.sizes(lengths)
