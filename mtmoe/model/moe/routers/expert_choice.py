"""Expert choice: every expert takes the tokens it is wanted by most."""

from __future__ import annotations

import dataclasses
import math

import gin
import tensorflow as tf

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.mesh.groupwise import groupwise
from mtmoe.mesh.slots import slots_of_chosen_tokens
from mtmoe.model.moe.losses import router_z_loss
from mtmoe.model.moe.routers.interface import Router, RouterInput, RouterOutput
from mtmoe.model.moe.routers.scores import choose_experts, score_experts
from mtmoe.ranges import NonNegative, Rate, check_fields


@gin.configurable
@dataclasses.dataclass(frozen=True)
class ExpertChoiceRouter(Router):
    """S = softmax(X W) over the experts; expert e takes the tokens of top-k(S[:, e]).

    Zhou et al. 2022, section 3.2, without the bound on the experts of one token. k is
    the capacity: n c / E, where c, the experts a token has on average, is the capacity
    factor (2 in the paper). The load is even by itself, so that there is no balance
    loss; a token may have any number of experts, or none.

    Whether an expert takes a token depends on all tokens of the group.

    Attributes:
      jitter_epsilon: see `SwitchRouter`.
      z_loss_weight: see `SwitchRouter`; 0 in the paper.
    """

    jitter_epsilon: Rate = 0.0
    z_loss_weight: NonNegative = 0.001

    def __post_init__(self) -> None:
        """Checks the ranges."""
        check_fields(self)

    @property
    def causal(self) -> bool:
        """Experts look at tokens yet to come."""
        return False

    def __call__(self, context: GraphContext, inputs: RouterInput) -> RouterOutput:
        """Lets every expert fill its slots with the tokens that like it best."""
        scores = score_experts(context, inputs, self.jitter_epsilon)
        choices = choose_experts(scores.probabilities, inputs.nonpadding)
        token_of_slot, weights = choose_tokens(scores.probabilities, inputs)
        return RouterOutput(
            slots=slots_of_chosen_tokens(token_of_slot, inputs.token_dim),
            weights=weights,
            first_choice=choices.first_choice,
            balance_loss=mtf.zeros(context.mesh, mtf.Shape([])),
            z_loss=router_z_loss(scores.log_z, self.z_loss_weight),
            entropy=scores.entropy,
            log_z=scores.log_z,
        )


def choose_tokens(
    probabilities: mtf.Tensor, inputs: RouterInput
) -> tuple[mtf.Tensor, mtf.Tensor]:
    """Returns each expert's likeliest tokens; of equal ones, the earlier first.

    Args:
      probabilities: float32 [batch, group, experts_unsplit].
      inputs: which are tokens, and how many an expert takes.

    Returns:
      The tokens, int32 [batch, experts_unsplit, expert_capacity], the number of places
      in a group where there are too few; and their probabilities, float32 of the same
      shape, 0 there. The gradient goes through the latter.
    """
    batch, group, experts = probabilities.shape.dims
    shape = mtf.Shape([batch, experts, inputs.capacity])

    def forward(p_GTE: tf.Tensor, mask_GT: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        # Padding comes after every token, and is not taken.
        p_GTE = tf.where(mask_GT[..., tf.newaxis] > 0, p_GTE, -1.0)
        p_GEC, token_GEC = tf.math.top_k(
            tf.transpose(p_GTE, [0, 2, 1]), inputs.capacity.size
        )
        is_token_GEC = p_GEC >= 0.0
        return (
            tf.where(is_token_GEC, token_GEC, group.size),
            tf.where(is_token_GEC, p_GEC, 0.0),
        )

    def d_probabilities(token_GEC: tf.Tensor, d_GEC: tf.Tensor) -> tf.Tensor:
        num_rows = math.prod(token_GEC.shape[:2])
        row_GE1 = tf.reshape(tf.range(num_rows), [*token_GEC.shape[:2], 1])
        # Negative places are ignored by the segment sum.
        place_GEC = tf.where(
            token_GEC < group.size, row_GE1 * group.size + token_GEC, -1
        )
        d_GET = tf.math.unsorted_segment_sum(d_GEC, place_GEC, num_rows * group.size)
        d_GET = tf.reshape(d_GET, [*token_GEC.shape[:2], group.size])
        return tf.transpose(d_GET, [0, 2, 1])

    def backward(
        operation: mtf.Operation,
        d_token: mtf.Tensor | None,
        d_weights: mtf.Tensor | None,
    ) -> list[mtf.Tensor | None]:
        del d_token
        if d_weights is None:
            return [None, None]
        return [
            groupwise(
                d_probabilities,
                [operation.outputs[0], d_weights],
                [(probabilities.shape, tf.float32)],
                [batch],
                "choose_tokens_gradient",
            )[0],
            None,
        ]

    token_of_slot, weights = groupwise(
        forward,
        [probabilities, inputs.nonpadding],
        [(shape, tf.int32), (shape, tf.float32)],
        [batch],
        "choose_tokens",
        backward,
    )
    return token_of_slot, weights
