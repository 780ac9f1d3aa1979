"""What routers share that deal a group's tokens out evenly while training."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.mesh.groupwise import groupwise
from mtmoe.model.moe.routers.interface import RouterInput, RouterOutput
from mtmoe.model.moe.routers.scores import (
    ExpertChoices,
    ExpertScores,
    choose_experts,
    seat_choices,
)


def balanced_output(
    context: GraphContext,
    inputs: RouterInput,
    scores: ExpertScores,
    gates: mtf.Tensor,
    deal: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
) -> RouterOutput:
    """Sends tokens to the experts they are dealt; without training, to their favorites.

    The dealing has no gradient, the weights have. The load is even by itself: there are
    no losses. First choices are counted by score: what evaluation would do.

    Args:
      context: graph being built.
      inputs: the tokens.
      scores: how much each token likes each expert.
      gates: float32 [batch, group, experts_unsplit], the weight of each expert, should
        the token be sent there.
      deal: the experts, int32 [groups, tokens], by float32 logits [groups, tokens,
        experts] and a mask [groups, tokens], 1 for tokens and 0 for padding.
    """
    favorite = choose_experts(scores.probabilities, inputs.nonpadding)
    expert, shape = favorite.expert, inputs.nonpadding.shape
    if context.training:
        [expert] = groupwise(
            lambda logits, mask: deal(tf.cast(logits, tf.float32), mask),
            [scores.logits, inputs.nonpadding],
            [(shape, tf.int32)],
            shape.dims[:1],
            "deal",
        )
    chosen = mtf.one_hot(expert, inputs.experts, dtype=tf.float32)
    weights = mtf.einsum([gates, chosen], output_shape=shape)
    zero = mtf.zeros(context.mesh, mtf.Shape([]))
    choices = ExpertChoices(expert, weights, favorite.first_choice)
    return RouterOutput(
        slots=seat_choices(inputs, choices),
        weights=weights,
        first_choice=favorite.first_choice,
        balance_loss=zero,
        z_loss=zero,
        entropy=scores.entropy,
        log_z=scores.log_z,
    )
