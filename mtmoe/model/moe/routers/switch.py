"""Switch routing: every token goes to the one expert it likes best."""

from __future__ import annotations

import dataclasses

import gin

from mtmoe.mesh.context import GraphContext
from mtmoe.model.moe.routers.interface import RouterInput, RouterOutput
from mtmoe.model.moe.routers.scores import (
    LearnedRouter,
    choose_experts,
    score_experts,
    seat_choices,
)


@gin.configurable
@dataclasses.dataclass(frozen=True)
class SwitchRouter(LearnedRouter):
    """p = softmax(W x), expert = argmax p, gate = p[expert].

    Switch Transformer (Fedus et al. 2022), equations 1 and 2.
    """

    def __call__(self, context: GraphContext, inputs: RouterInput) -> RouterOutput:
        """Sends every token to the expert it likes best."""
        scores = score_experts(context, inputs, self.jitter_epsilon)
        choices = choose_experts(scores.probabilities, inputs.nonpadding)
        slots = seat_choices(inputs, choices)
        return self.output(inputs, scores, choices, slots, choices.gate)
