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
    summed = [label for label in x_labels if label in y_labels and label not in result]
    x_free = [label for label in x_labels if label not in y_labels]
    y_free = [label for label in y_labels if label not in x_labels]
    if x_free and y_free and result == "".join(batch + y_free + x_free):
        return product(f"{y_labels},{x_labels}->{result}", y, x)
    # On the left of a batch matrices have to be [rows, summed]: a CPU's products of
    # many small matrices are half as fast on ones that are not.
    left, turn_left = _matrices(x, x_labels, batch, x_free, summed, turn=not batch)
    right, turn_right = _matrices(y, y_labels, batch, summed, y_free, turn=True)
    z = tf.matmul(left, right, transpose_a=turn_left, transpose_b=turn_right)
    labels = batch + x_free + y_free
    z = _reshaped(z, [sizes[label] for label in labels])
    return _transposed(z, "".join(labels), result)


def _matrices(
    x: tf.Tensor,
    labels: str,
    batch: list[str],
    rows: list[str],
    columns: list[str],
    turn: bool,
) -> tuple[tf.Tensor, bool]:
    """Matrices [*batch, rows, columns].

    With `turn` [*batch, columns, rows] and True where `x` is so already.
    """
    if turn and rows and columns and labels == "".join(batch + columns + rows):
        rows, columns = columns, rows
    else:
        turn = False
    x = _transposed(x, labels, "".join(batch + rows + columns))
    dims = x.shape[len(batch) :]
    shape = [math.prod(dims[: len(rows)]), math.prod(dims[len(rows) :])]
    return _reshaped(x, [*x.shape[: len(batch)], *shape]), turn


def _transposed(x: tf.Tensor, labels: str, order: str) -> tf.Tensor:
    if labels == order:
        return x
    return tf.transpose(x, [labels.index(label) for label in order])


def _reshaped(x: tf.Tensor, shape: Sequence[int]) -> tf.Tensor:
    return x if x.shape == shape else tf.reshape(x, shape)
