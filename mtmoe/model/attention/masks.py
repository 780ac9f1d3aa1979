"""Additive masks: 0 where attention may look, a large negative number elsewhere.

Made once a stack and added to the logits of every layer, where the compiler fuses the
sum; the full [batch, heads, length, memory_length] mask never exists.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext

MASKED = -1e9  # exp(MASKED) is 0 in float32; finite, so that no sum becomes NaN


def padding_mask(nonpadding: mtf.Tensor) -> mtf.Tensor:
    """Hides padding keys.

    Args:
      nonpadding: float [batch, length], 1 for tokens and 0 for padding.

    Returns:
      float [batch, memory_length].
    """
    mask = (nonpadding - 1.0) * -MASKED
    return mtf.rename_dimension(mask, "length", "memory_length")


def causal_mask(context: GraphContext, length: mtf.Dimension) -> mtf.Tensor:
    """Hides keys to the right of the query; float [length, memory_length]."""
    hidden = np.triu(np.full([length.size, length.size], MASKED, np.float32), k=1)
    memory_length = mtf.Dimension("memory_length", length.size)
    mask = context.import_tensor(tf.constant(hidden), [length, memory_length])
    return mtf.cast(mask, context.activation_dtype)
