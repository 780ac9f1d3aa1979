"""The scale of initial weights."""

from __future__ import annotations

import math

from mtmoe.mesh.initializers import Initializer, truncated_normal


def scaled_normal(scale: float, fan_in: int) -> Initializer:
    """Truncated normal with sigma = sqrt(scale / fan_in).

    Switch Transformer (Fedus et al. 2022, section 2.4) draws every weight matrix so and
    finds scale = 0.1 instead of 1.0 to make sparse models stable.

    Args:
      scale: the s of the paper, the model's `initialization_scale`.
      fan_in: number of inputs one output is summed over.
    """
    return truncated_normal(math.sqrt(scale / fan_in))
