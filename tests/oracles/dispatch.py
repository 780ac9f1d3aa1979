"""Slot assignment and dispatch in numpy, by loops and by one-hot tensors.

Shape suffixes: G groups, K choices, A assignments (choice * tokens + token), T tokens,
E experts, C capacity, S = E * C slots, F features.
"""

from __future__ import annotations

import numpy as np


def assign_slots(
    expert_GA: np.ndarray,
    experts: int,
    capacity: int,
    priority_GKT: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Gives slots out one by one; an expert >= `experts` is no expert.

    Args:
      expert_GA: the experts wanted.
      experts: number of experts.
      capacity: slots of an expert.
      priority_GKT: whose turn it is first, within a choice; by position if None.

    Returns:
      slot_GA (experts * capacity if none), assignment_GEC (A if empty).
    """
    groups, assignments = expert_GA.shape
    slot_GA = np.full((groups, assignments), experts * capacity)
    assignment_GEC = np.full((groups, experts, capacity), assignments)
    for g in range(groups):
        taken = [0] * experts
        turns = list(range(assignments))
        if priority_GKT is not None:
            tokens = priority_GKT.shape[-1]
            turns.sort(key=lambda a: (a // tokens, -priority_GKT[g].flat[a], a))
        for a in turns:
            expert = expert_GA[g, a]
            if expert < experts and taken[expert] < capacity:
                slot_GA[g, a] = expert * capacity + taken[expert]
                assignment_GEC[g, expert, taken[expert]] = a
                taken[expert] += 1
    return slot_GA, assignment_GEC


def dispatch_mask(slot_GA: np.ndarray, experts: int, capacity: int) -> np.ndarray:
    """Returns the one-hot tensor [G, A, E, C] of the einsum formulation."""
    one_hot = np.eye(experts * capacity + 1)[slot_GA][..., :-1]
    return one_hot.reshape(*slot_GA.shape, experts, capacity)


def dispatch_mask_of_chosen_tokens(token_GEC: np.ndarray, tokens: int) -> np.ndarray:
    """Returns the one-hot tensor [G, T, E, C] where experts chose."""
    return np.moveaxis(np.eye(tokens + 1)[token_GEC][..., :-1], -1, 1)


def dispatch_and_gradients(
    mask_GKTEC: np.ndarray,
    weight_GKTEC: np.ndarray,
    x_GTF: np.ndarray,
    y_GECF: np.ndarray,
    grad_z_GTF: np.ndarray,
) -> dict[str, np.ndarray]:
    """Both movements and the gradients of <dispatch(x), y> and <combine(y), grad_z>.

    The gradient of the weights is that of `weight_GKTEC`; a weight shared by several of
    its entries has the sum of theirs.
    """
    weighted = mask_GKTEC * weight_GKTEC
    return {
        "slots_of_x": np.einsum("gktec,gtf->gecf", mask_GKTEC, x_GTF),
        "tokens_of_y": np.einsum("gktec,gecf->gtf", weighted, y_GECF),
        "grad_x": np.einsum("gktec,gecf->gtf", mask_GKTEC, y_GECF),
        "grad_y": np.einsum("gktec,gtf->gecf", weighted, grad_z_GTF),
        "grad_weights": np.einsum(
            "gktec,gtf,gecf->gktec", mask_GKTEC, grad_z_GTF, y_GECF
        ),
    }
