"""Top-k routing: every token goes to the k experts it likes best."""

from __future__ import annotations

import dataclasses
import math

import gin
import tensorflow as tf

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.model.moe.routers.interface import RouterInput, RouterOutput
from mtmoe.model.moe.routers.scores import (
    LearnedRouter,
    choose_experts,
    expert_logits,
    normalize_gates,
    project_to_experts,
    seat_choices,
    softmax_scores,
)
from mtmoe.ranges import Count


@gin.configurable
@dataclasses.dataclass(frozen=True)
class TopKRouter(LearnedRouter):
    """p = softmax(W x), experts = the k largest of p, weights = their p.

    Shazeer et al. 2017, section 2.1; without noise, the top-n routing of ST-MoE (Zoph
    et al. 2022). The balance loss counts first choices, as theirs does. All first
    choices are given slots before any second choice, and so on.

    Attributes:
      k: experts a token.
      normalize_weights: divide a token's weights by their sum. With it the weights are
        the softmax over the logits of the k experts alone, as in Shazeer et al.
      learned_noise: while training, add N(0, 1) * softplus(W_noise x) to the logits
        (Shazeer et al. 2017, equation 4), W_noise being learned.
    """

    k: Count = 2
    normalize_weights: bool = True
    learned_noise: bool = False

    @property
    def num_choices(self) -> int:
        """The k experts of a token."""
        return self.k

    @property
    def num_matrices(self) -> int:
        """One, and one of the learned noise."""
        return 2 if self.learned_noise else 1

    def __call__(self, context: GraphContext, inputs: RouterInput) -> RouterOutput:
        """Sends every token to the k experts it likes best."""
        logits = expert_logits(context, inputs, self.jitter_epsilon)
        if self.learned_noise:
            logits = _add_learned_noise(context, inputs, logits)
        scores = softmax_scores(logits, inputs.nonpadding)
        choice = mtf.Dimension("choice", self.k)
        choices = choose_experts(scores.probabilities, inputs.nonpadding, choice)
        weights = choices.gate
        if self.normalize_weights:
            weights = normalize_gates(weights, choice)
        slots = seat_choices(inputs, choices, choice)
        return self.output(inputs, scores, choices, slots, weights)


def _add_learned_noise(
    context: GraphContext, inputs: RouterInput, logits: mtf.Tensor
) -> mtf.Tensor:
    """Returns noisy logits while training; the matrix is there always."""
    x = mtf.cast(inputs.x, logits.dtype)
    raw = project_to_experts(context, inputs, x, "router_noise")
    if not context.training:
        return logits
    # Open at both ends, where the normal quantile is infinite.
    least = -1.0 + 2.0**-23
    uniform = context.uniform("router_noise", logits.shape, least, 1.0)
    normal = mtf.slicewise(
        lambda u: tf.cast(math.sqrt(2.0) * tf.math.erfinv(u), logits.dtype),
        [uniform],
        output_dtype=logits.dtype,
        splittable_dims=logits.shape.dims,
        grad_function=0,
        name="normal_quantile",
    )
    return logits + normal * mtf.softplus(raw)
