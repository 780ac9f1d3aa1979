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
    """E * sum f_i P_i per group over its tokens; mean over groups by their tokens."""
    num_experts = routing.probabilities.shape[-1]
    total, tokens = 0.0, 0
    for g, mask in enumerate(mask_GS):
        n = int(mask.sum())
        if n == 0:
            continue
        f = np.bincount(routing.expert[g][mask], minlength=num_experts) / n
        p = routing.probabilities[g][mask].mean(0)
        total += n * num_experts * float(f @ p)
        tokens += n
    return total / max(tokens, 1)


def z_loss(routing: Routing, mask_GS: NDArray[np.bool_]) -> float:
    """Mean over tokens of the squared log-sum-exp of the router's logits."""
    return float(np.square(routing.log_z[mask_GS]).sum() / max(mask_GS.sum(), 1))


def entropy(routing: Routing, mask_GS: NDArray[np.bool_]) -> float:
    """Mean over tokens of -sum p log p."""
    p = routing.probabilities[mask_GS]
    return float(-(p * np.log(p)).sum() / max(mask_GS.sum(), 1))


def switch_layer(x_GSM: Array, routing: Routing, wi_EMF: Array, wo_EFM: Array) -> Array:
    """Gate * wo(relu(wi(x))) of the chosen expert, token by token; 0 if dropped."""
    y_GSM = np.zeros_like(x_GSM)
    for g, s in zip(*np.nonzero(routing.kept), strict=True):
        expert = routing.expert[g, s]
        hidden_F = np.maximum(x_GSM[g, s] @ wi_EMF[expert], 0.0)
        y_GSM[g, s] = routing.gate[g, s] * (hidden_F @ wo_EFM[expert])
    return y_GSM
