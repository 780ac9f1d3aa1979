"""Switch routing, its losses and its layer, spelled out in numpy.

Shape suffixes: G groups, S tokens of a group, M d_model, F d_ff, E experts.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Routing:
    """What a top-1 router decides, token by token."""

    probabilities: Array  # [G, S, E]
    log_z: Array  # [G, S]
    expert: NDArray[np.int64]  # [G, S]
    gate: Array  # [G, S]
    kept: NDArray[np.bool_]  # [G, S]


def route(
    x_GSM: Array, router_ME: Array, mask_GS: NDArray[np.bool_], capacity: int
) -> Routing:
    """Chooses experts in token order until they are full."""
    logits_GSE = x_GSM @ router_ME
    largest = logits_GSE.max(-1, keepdims=True)
    log_z_GS = (largest + np.log(np.exp(logits_GSE - largest).sum(-1, keepdims=True)))[
        ..., 0
    ]
    probabilities_GSE = np.exp(logits_GSE - log_z_GS[..., None])
    expert_GS = probabilities_GSE.argmax(-1)
    kept_GS = np.zeros(mask_GS.shape, bool)
    for g, tokens in enumerate(expert_GS):
        taken = [0] * router_ME.shape[1]
        for s, expert in enumerate(tokens):
            if mask_GS[g, s] and taken[expert] < capacity:
                taken[expert] += 1
                kept_GS[g, s] = True
    gate_GS = probabilities_GSE.max(-1)
    return Routing(probabilities_GSE, log_z_GS, expert_GS, gate_GS, kept_GS)


def balance_loss(routing: Routing, mask_GS: NDArray[np.bool_]) -> float:
    """E * sum f_i P_i per group over its tokens, times their number; summed."""
    num_experts = routing.probabilities.shape[-1]
    total = 0.0
    for g, mask in enumerate(mask_GS):
        n = int(mask.sum())
        if n == 0:
            continue
        f = np.bincount(routing.expert[g][mask], minlength=num_experts) / n
        p = routing.probabilities[g][mask].mean(0)
        total += n * num_experts * float(f @ p)
    return total


def z_loss(routing: Routing, mask_GS: NDArray[np.bool_]) -> float:
    """Sum over tokens of the squared log-sum-exp of the router's logits."""
    return float(np.square(routing.log_z[mask_GS]).sum())


def entropy(routing: Routing, mask_GS: NDArray[np.bool_]) -> float:
    """Sum over tokens of -sum p log p."""
    return float(token_entropy(routing)[mask_GS].sum())


def token_entropy(routing: Routing) -> Array:
    """-sum p log p [G, S]."""
    p = routing.probabilities
    return -(p * np.log(p)).sum(-1)


def switch_layer(x_GSM: Array, routing: Routing, wi_EMF: Array, wo_EFM: Array) -> Array:
    """Gate * wo(relu(wi(x))) of the chosen expert, token by token; 0 if dropped."""
    y_GSM = np.zeros_like(x_GSM)
    for g, s in zip(*np.nonzero(routing.kept), strict=True):
        expert = routing.expert[g, s]
        hidden_F = np.maximum(x_GSM[g, s] @ wi_EMF[expert], 0.0)
        y_GSM[g, s] = routing.gate[g, s] * (hidden_F @ wo_EFM[expert])
    return y_GSM


@dataclasses.dataclass(frozen=True)
class Choices:
    """What a router with several experts a token decides."""

    routing: Routing  # of the first choices, but for its `kept`
    expert: NDArray[np.int64]  # [G, K, S], likeliest first
    weights: Array  # [G, K, S]
    kept: NDArray[np.bool_]  # [G, K, S]


def choose(
    x_GSM: Array,
    router_ME: Array,
    wanted_GKS: NDArray[np.bool_],
    capacity: int,
    normalize: bool,
    by_confidence: bool = False,
) -> Choices:
    """Each token's likeliest experts: first choices of all tokens, then second ones.

    Args:
      x_GSM: tokens.
      router_ME: the router's matrix.
      wanted_GKS: which choices ask for a slot; K is their number.
      capacity: slots of an expert.
      normalize: whether a token's weights sum to one.
      by_confidence: within a choice, in falling order of the tokens' largest gate;
        otherwise in the order of the tokens.
    """
    routing = route(x_GSM, router_ME, wanted_GKS[:, 0], capacity)
    num_groups, num_choices, num_tokens = wanted_GKS.shape
    order_GSE = np.argsort(-routing.probabilities, axis=-1, kind="stable")
    expert_GKS = order_GSE[..., :num_choices].transpose(0, 2, 1)
    sorted_GSE = np.take_along_axis(routing.probabilities, order_GSE, -1)
    weights_GKS = sorted_GSE[..., :num_choices].transpose(0, 2, 1)
    if normalize:
        weights_GKS = weights_GKS / weights_GKS.sum(1, keepdims=True)
    kept_GKS = np.zeros(wanted_GKS.shape, bool)
    for g in range(num_groups):
        taken = [0] * router_ME.shape[1]
        queue = range(num_tokens)
        if by_confidence:
            queue = np.argsort(-routing.gate[g], kind="stable")
        for k in range(num_choices):
            for s in queue:
                expert = expert_GKS[g, k, s]
                if wanted_GKS[g, k, s] and taken[expert] < capacity:
                    taken[expert] += 1
                    kept_GKS[g, k, s] = True
    return Choices(routing, expert_GKS, weights_GKS, kept_GKS)


def experts_layer(
    x_GSM: Array, choices: Choices, wi_EMF: Array, wo_EFM: Array
) -> Array:
    """Sum over a token's kept choices of weight * wo(relu(wi(x)))."""
    y_GSM = np.zeros_like(x_GSM)
    for g, k, s in zip(*np.nonzero(choices.kept), strict=True):
        expert = choices.expert[g, k, s]
        hidden_F = np.maximum(x_GSM[g, s] @ wi_EMF[expert], 0.0)
        y_GSM[g, s] += choices.weights[g, k, s] * (hidden_F @ wo_EFM[expert])
    return y_GSM
