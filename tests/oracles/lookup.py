"""Embedding lookup and label cross-entropy in numpy, values and gradients.

Shape suffixes: N tokens, V vocab, D d_model.
"""

from __future__ import annotations

import numpy as np


def embedding_gradient(
    ids_N: np.ndarray, grad_rows_ND: np.ndarray, vocab_size: int
) -> np.ndarray:
    """Returns the gradient [V, D] of the table."""
    gradient_VD = np.zeros((vocab_size, grad_rows_ND.shape[-1]))
    np.add.at(gradient_VD, ids_N, grad_rows_ND.astype(np.float64))
    return gradient_VD


def label_cross_entropy(
    logits_NV: np.ndarray, labels_N: np.ndarray, z_loss: float
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the loss [N], and its gradient [N, V] (of the sum) by the logits."""
    logits_NV = logits_NV.astype(np.float64)
    largest_N1 = logits_NV.max(-1, keepdims=True)
    exponentials_NV = np.exp(logits_NV - largest_N1)
    total_N1 = exponentials_NV.sum(-1, keepdims=True)
    log_z_N = (largest_N1 + np.log(total_N1))[:, 0]
    rows = np.arange(len(labels_N))
    loss_N = log_z_N - logits_NV[rows, labels_N] + z_loss * log_z_N**2
    gradient_NV = exponentials_NV / total_N1 * (1 + 2 * z_loss * log_z_N)[:, None]
    gradient_NV[rows, labels_N] -= 1
    return loss_N, gradient_NV
