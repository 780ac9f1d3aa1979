"""Sinkhorn routing: scores are balanced before tokens choose."""

from __future__ import annotations

import dataclasses

import gin
import tensorflow as tf

from mtmoe.errors import UnknownNameError
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.model.moe.routers.balanced import balanced_output
from mtmoe.model.moe.routers.interface import Router, RouterInput, RouterOutput
from mtmoe.model.moe.routers.scores import score_experts
from mtmoe.ranges import Count, Positive, check_fields

GATES = ("softmax", "sigmoid")


@gin.configurable
@dataclasses.dataclass(frozen=True)
class SinkhornRouter(Router):
    """expert = argmax of the transport plan between tokens and experts.

    S-BASE (Clark et al. 2022, section 3.1), after BASE layers. While training, the plan
    is exp(W x) with its rows and columns scaled in turn until every token has a mass of
    1 and every expert one of tokens / experts; otherwise a token goes to the expert of
    its highest score. The weight is that of the scores as they were; the plan has no
    gradient. There are no further losses. First choices are counted by score: what
    evaluation would do.

    Attributes:
      gate: "softmax" of the token's scores, or "sigmoid" of the chosen one.
      tolerance: largest relative error of an expert's mass.
      max_iterations: scalings at most; scores that differ by much more than one need
        many.
    """

    gate: str = "softmax"
    tolerance: Positive = 1e-3
    max_iterations: Count = 100

    def __post_init__(self) -> None:
        """Checks the gate's name and the ranges."""
        check_fields(self)
        if self.gate not in GATES:
            raise UnknownNameError("gate", self.gate, GATES, "SinkhornRouter.gate")

    def __call__(self, context: GraphContext, inputs: RouterInput) -> RouterOutput:
        """Sends every token to the expert with the largest share of its mass."""
        scores = score_experts(context, inputs)
        gates = scores.probabilities
        if self.gate == "sigmoid":
            gates = mtf.sigmoid(mtf.cast(scores.logits, tf.float32))
        return balanced_output(context, inputs, scores, gates, self._transport)

    def _transport(self, logits_GTE: tf.Tensor, mask_GT: tf.Tensor) -> tf.Tensor:
        bonus_GE = sinkhorn(logits_GTE, mask_GT, self.tolerance, self.max_iterations)
        plan_GTE = logits_GTE + bonus_GE[:, tf.newaxis]
        return tf.argmax(plan_GTE, axis=-1, output_type=tf.int32)


def sinkhorn(
    logits_GTE: tf.Tensor, mask_GT: tf.Tensor, tolerance: float, max_iterations: int
) -> tf.Tensor:
    """Returns the logarithms of the factors of the columns of the transport plan.

    plan[t, e] = softmax_e(logits[t, e] + bonus[e]): a token's masses add up to 1, and
    those of an expert's tokens to tokens / experts. Sinkhorn and Knopp 1967, in
    logarithms, where nothing underflows. Groups G, tokens T, experts E.

    Args:
      logits_GTE: float32.
      mask_GT: float32, 1 for tokens and 0 for padding, which has no mass.
      tolerance: largest relative error of an expert's mass.
      max_iterations: scalings of rows and columns at most.

    Returns:
      float32 bonus_GE; 0 in groups without tokens.
    """
    num_groups, _, num_experts = logits_GTE.shape
    is_token = mask_GT[..., tf.newaxis] > 0
    num_G1 = tf.reduce_sum(mask_GT, axis=1, keepdims=True)
    wanted_G1 = tf.math.log(tf.maximum(num_G1, 1.0) / num_experts)

    def goes_on(bonus_GE: tf.Tensor, error_G1: tf.Tensor) -> tf.Tensor:
        del bonus_GE
        return tf.reduce_any(error_G1 > tolerance)

    def scale(bonus_GE: tf.Tensor, error_G1: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        # Rows: the softmax over experts gives each token a mass of 1. Columns: what an
        # expert then has too much, in logarithms, is taken off its bonus.
        log_plan_GTE = tf.nn.log_softmax(logits_GTE + bonus_GE[:, tf.newaxis])
        log_plan_GTE = tf.where(is_token, log_plan_GTE, log_plan_GTE.dtype.min)
        excess_GE = tf.reduce_logsumexp(log_plan_GTE, axis=1) - wanted_G1
        excess_GE = tf.where(num_G1 > 0, excess_GE, 0.0)
        # Each group stops by itself: what is computed beside it must not matter.
        excess_GE = tf.where(error_G1 > tolerance, excess_GE, 0.0)
        error_GE = tf.abs(tf.math.expm1(excess_GE))
        return bonus_GE - excess_GE, tf.reduce_max(error_GE, axis=1, keepdims=True)

    bonus_GE, _ = tf.while_loop(
        goes_on,
        scale,
        (tf.zeros([num_groups, num_experts]), tf.fill([num_groups, 1], float("inf"))),
        maximum_iterations=max_iterations,
    )
    return bonus_GE
