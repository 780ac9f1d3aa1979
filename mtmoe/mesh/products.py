"""Tensor products as matrix products."""

from __future__ import annotations

import math
from collections.abc import Sequence

import tensorflow as tf


def product(equation: str, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """Einstein summation of two tensors: one matrix product, and what transposes it.

    `tf.einsum` means the same, but TensorFlow hands each one to XLA through a pipeline
    of its own, which takes ten milliseconds of compilation; a matrix product takes
    half of one. Operands change places where that saves transposing the result.

    Args:
      equation: as "abc,acd->abd", without repeated labels in an operand; a label that
        is left out of the result is in both operands.
      x: first operand, of static shape, as is the other.
      y: second operand, of the same dtype.

    Returns:
      The product, of the dtype of its operands.
    """
    operands, result = equation.split("->")
    x_labels, y_labels = operands.split(",")
    sizes = dict(zip(x_labels + y_labels, [*x.shape, *y.shape], strict=True))
    batch = [label for label in result if label in x_labels and label in y_labels]
    x_free = [label for label in x_labels if label not in y_labels]
    y_free = [label for label in y_labels if label not in x_labels]
    if result == "".join(batch + y_free + x_free):
        x, x_labels, x_free, y, y_labels, y_free = y, y_labels, y_free, x, x_labels, x_free
    summed = [label for label in x_labels if label in y_labels and label not in result]
    left, transpose_left = _matrices(x, x_labels, batch, x_free, summed)
    right, transpose_right = _matrices(y, y_labels, batch, summed, y_free)
    z = tf.matmul(left, right, transpose_left, transpose_right)
    labels = batch + x_free + y_free
    z = _reshaped(z, [sizes[label] for label in labels])
    if result == "".join(labels):
        return z
    return tf.transpose(z, [labels.index(label) for label in result])


def _matrices(
    x: tf.Tensor,
    labels: str,
    batch: Sequence[str],
    rows: Sequence[str],
    columns: Sequence[str],
) -> tuple[tf.Tensor, bool]:
    """Matrices [batch, rows, columns], or their transposes and True where `x` is so."""
    transposed = labels == "".join([*batch, *columns, *rows])
    if transposed:
        rows, columns = columns, rows
    order = [labels.index(label) for label in [*batch, *rows, *columns]]
    if order != sorted(order):
        x = tf.transpose(x, order)
    dims = iter(x.shape)
    shape = [math.prod(next(dims) for _ in part) for part in (batch, rows, columns)]
    return _reshaped(x, shape if batch else shape[1:]), transposed


def _reshaped(x: tf.Tensor, shape: Sequence[int]) -> tf.Tensor:
    return x if x.shape == shape else tf.reshape(x, shape)
