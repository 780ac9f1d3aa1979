"""GShard's routing: every token's best expert, and the second if a policy says so."""

from __future__ import annotations

import dataclasses

import gin
import tensorflow as tf

from mtmoe.errors import UnknownNameError
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.model.moe.routers.interface import RouterInput, RouterOutput
from mtmoe.model.moe.routers.scores import (
    LearnedRouter,
    choose_experts,
    normalize_gates,
    score_experts,
    seat_choices,
)
from mtmoe.ranges import Positive, Rate

POLICIES = ("all", "none", "threshold", "random")
_CHOICE = mtf.Dimension("choice", 2)


@gin.configurable
@dataclasses.dataclass(frozen=True)
class Top2Router(LearnedRouter):
    """p = softmax(W x); weights g_1, g_2 = the two largest of p, divided by their sum.

    GShard (Lepikhin et al. 2021), algorithm 1. All first choices are given slots before
    any second choice. A second expert that a policy or a full expert takes away leaves
    the weight of the first as it is.

    Policies for the second expert: "all" always asks for it, "none" never, "threshold"
    if g_2 > `second_threshold`, "random" with probability
    min(1, g_2 / `second_threshold`); GShard's is the last at a threshold of 0.5.

    Attributes:
      second_policy_train: policy while training.
      second_policy_evaluation: policy otherwise. With "random" what becomes of a token
        depends on its place in the batch.
      second_threshold: see above.
    """

    second_policy_train: str = "random"
    second_policy_evaluation: str = "all"
    second_threshold: Positive = 0.2
    jitter_epsilon: Rate = dataclasses.field(default=0.0, kw_only=True)

    def __post_init__(self) -> None:
        """Checks the policies' names and the ranges."""
        super().__post_init__()
        for name in ("second_policy_train", "second_policy_evaluation"):
            policy = getattr(self, name)
            if policy not in POLICIES:
                raise UnknownNameError(
                    "policy for the second expert",
                    policy,
                    POLICIES,
                    f"Top2Router.{name}",
                )

    @property
    def num_choices(self) -> int:
        """Two experts a token."""
        return 2

    def __call__(self, context: GraphContext, inputs: RouterInput) -> RouterOutput:
        """Sends every token to the expert it likes best, and perhaps to the second."""
        scores = score_experts(context, inputs, self.jitter_epsilon)
        choices = choose_experts(scores.probabilities, inputs.nonpadding, _CHOICE)
        weights = normalize_gates(choices.gate, _CHOICE)
        wanted = self._wanted(context, inputs, weights)
        slots = seat_choices(inputs, choices, _CHOICE, wanted)
        return self.output(inputs, scores, choices, slots, weights, wanted)

    def _wanted(
        self, context: GraphContext, inputs: RouterInput, weights: mtf.Tensor
    ) -> mtf.Tensor:
        """Which of its two experts a token asks for: float32 [batch, choice, group]."""
        training = context.training
        policy = self.second_policy_train if training else self.second_policy_evaluation
        tensors = [weights, inputs.nonpadding]
        if policy == "random":
            shape = inputs.nonpadding.shape
            tensors.append(
                context.uniform("second_choice", shape, high=self.second_threshold)
            )

        def wanted(
            weights: tf.Tensor, mask: tf.Tensor, noise: tf.Tensor | None = None
        ) -> tf.Tensor:
            second = {
                "all": lambda: mask,
                "none": lambda: tf.zeros_like(mask),
                "threshold": lambda: _as_mask(weights[:, 1] > self.second_threshold),
                "random": lambda: _as_mask(weights[:, 1] > noise),
            }[policy]()
            return tf.stack([mask, mask * second], axis=1)

        return mtf.slicewise(
            wanted,
            tensors,
            splittable_dims=inputs.nonpadding.shape.dims,
            grad_function=0,
            name="second_choices",
        )


def _as_mask(condition: tf.Tensor) -> tf.Tensor:
    return tf.cast(condition, tf.float32)
