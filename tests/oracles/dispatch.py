"""Slot assignment and dispatch in numpy, by loops and by one-hot tensors.

Shape suffixes: G groups, A assignments (choice * tokens + token), T tokens, E experts,
C capacity, F features.
"""

from __future__ import annotations

import numpy as np


def assign_slots(
    expert_GA: np.ndarray, experts: int, capacity: int
) -> tuple[np.ndarray, np.ndarray]:
    """Gives slots out first come, first served; an expert >= `experts` is no expert.

    Returns:
      slot_GA (experts * capacity if none), assignment_GEC (A if empty).
    """
    groups, assignments = expert_GA.shape
    slot_GA = np.full((groups, assignments), experts * capacity)
    assignment_GEC = np.full((groups, experts, capacity), assignments)
    for g in range(groups):
        taken = [0] * experts
        for a, expert in enumerate(expert_GA[g]):
            if expert < experts and taken[expert] < capacity:
                slot_GA[g, a] = expert * capacity + taken[expert]
                assignment_GEC[g, expert, taken[expert]] = a
                taken[expert] += 1
    return slot_GA, assignment_GEC


def dispatch_mask(slot_GA: np.ndarray, experts: int, capacity: int) -> np.ndarray:
    """Returns the one-hot tensor [G, A, E, C] of the einsum formulation."""
    one_hot = np.eye(experts * capacity + 1)[slot_GA][..., :-1]
    return one_hot.reshape(*slot_GA.shape, experts, capacity)
