"""Switch routing: every token goes to the one expert it likes best."""

from __future__ import annotations

import dataclasses

import gin

from mtmoe.mesh.context import GraphContext
from mtmoe.model.moe.losses import load_balance_loss, router_z_loss
from mtmoe.model.moe.routers.interface import Router, RouterInput, RouterOutput
from mtmoe.model.moe.routers.scores import choose_experts, score_experts, seat_choices
from mtmoe.ranges import NonNegative, Rate, check_fields


@gin.configurable
@dataclasses.dataclass(frozen=True)
class SwitchRouter(Router):
    """p = softmax(W x), expert = argmax p, gate = p[expert].

    Switch Transformer (Fedus et al. 2022), equations 1 and 2.

    Attributes:
      jitter_epsilon: while training the router's input, and only the router's, is
        multiplied by noise from U[1 - epsilon, 1 + epsilon].
      balance_loss_weight: alpha of equation 4.
      z_loss_weight: c_z of ST-MoE (Zoph et al. 2022); 0 for the Switch Transformer as
        published. It is not multiplied by alpha.
    """

    jitter_epsilon: Rate = 0.01
    balance_loss_weight: NonNegative = 0.01
    z_loss_weight: NonNegative = 0.001

    def __post_init__(self) -> None:
        """Checks the ranges."""
        check_fields(self)

    def __call__(self, context: GraphContext, inputs: RouterInput) -> RouterOutput:
        """Sends every token to the expert it likes best."""
        scores = score_experts(context, inputs, self.jitter_epsilon)
        choices = choose_experts(scores.probabilities, inputs.nonpadding)
        balance = load_balance_loss(
            scores.probabilities,
            choices.first_choice,
            inputs.nonpadding,
            self.balance_loss_weight,
        )
        return RouterOutput(
            slots=seat_choices(inputs, choices),
            weights=choices.gate,
            first_choice=choices.first_choice,
            balance_loss=balance,
            z_loss=router_z_loss(scores.log_z, self.z_loss_weight),
            entropy=scores.entropy,
            log_z=scores.log_z,
        )
