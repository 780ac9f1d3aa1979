"""Routers in numpy, token by token and group by group.

Shape suffixes: G groups, T tokens of a group, E experts, C capacity.
"""

from __future__ import annotations

import numpy as np
import scipy.optimize
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]


def softmax(logits: Floats) -> Floats:
    """Over the last dimension, in float64."""
    exponentials = np.exp(np.float64(logits) - np.max(logits, -1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def expert_choice(p_GTE: Floats, mask_GT: Floats, capacity: int) -> tuple[Ints, Floats]:
    """Each expert's best tokens, best first, and their probabilities.

    Returns:
      token_GEC, T where there are too few tokens, and weight_GEC, 0 there.
    """
    groups, tokens, experts = p_GTE.shape
    token_GEC = np.full((groups, experts, capacity), tokens)
    weight_GEC = np.zeros((groups, experts, capacity))
    for g, e in np.ndindex(groups, experts):
        wanted = [t for t in range(tokens) if mask_GT[g, t]]
        wanted.sort(key=lambda t, g=g, e=e: (-p_GTE[g, t, e], t))
        for c, t in enumerate(wanted[:capacity]):
            token_GEC[g, e, c], weight_GEC[g, e, c] = t, p_GTE[g, t, e]
    return token_GEC, weight_GEC


def best_balanced_sum(scores_TE: Floats, mask_T: Floats) -> float:
    """The largest sum of scores if no expert has more than ceil(tokens / experts)."""
    scores = np.float64(scores_TE[mask_T > 0])
    capacity = -(-len(scores) // scores.shape[1])
    places = np.repeat(scores, capacity, axis=1)
    rows, columns = scipy.optimize.linear_sum_assignment(places, maximize=True)
    return float(places[rows, columns].sum())


def transport_plan(
    logits_TE: Floats, mask_T: Floats, iterations: int = 20_000
) -> Floats:
    """exp(logits) with its rows and columns scaled in turn; 0 for padding."""
    plan = np.exp(np.float64(logits_TE)) * mask_T[:, np.newaxis]
    tokens, experts = mask_T.sum(), logits_TE.shape[1]
    for _ in range(iterations):
        plan *= tokens / experts / plan.sum(0)
        plan /= np.where(mask_T > 0, plan.sum(1), 1.0)[:, np.newaxis]
    return plan


def no_token_left_behind(
    p_GTE: Floats, mask_GT: Floats, capacity: int, rounds: int, by_confidence: bool
) -> Ints:
    """The expert each token ends with, E if none."""
    groups, tokens, experts = p_GTE.shape
    expert_GT = np.full((groups, tokens), experts)
    for g in range(groups):
        load = [0] * experts
        turns = list(range(tokens))
        if by_confidence:
            turns.sort(key=lambda t, g=g: (-p_GTE[g, t].max(), t))
        for number in range(rounds + 1):
            for t in turns:
                choice = int(np.argsort(-p_GTE[g, t], kind="stable")[number])
                is_free = expert_GT[g, t] == experts and mask_GT[g, t] > 0
                if is_free and load[choice] < capacity:
                    expert_GT[g, t] = choice
                    load[choice] += 1
    return expert_GT
