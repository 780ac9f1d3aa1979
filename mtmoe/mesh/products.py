"""Tensor products as matrix products."""

from __future__ import annotations

import contextlib
import contextvars
import math
from collections.abc import Iterator, Sequence

import tensorflow as tf
from tensorflow.compiler.tf2xla.python import xla

from mtmoe.mesh.compat import mtf

_rounds: contextvars.ContextVar[bool] = contextvars.ContextVar("rounds", default=False)
_exact: contextvars.ContextVar[bool] = contextvars.ContextVar("exact", default=True)


@contextlib.contextmanager
def exact_products(are_exact: bool) -> Iterator[None]:
    """Says whether products lowered inside ask for whole factors of float32.

    A CPU has no other products, and runs those that ask for it by a slower path.
    """
    token = _exact.set(are_exact)
    try:
        yield
    finally:
        _exact.reset(token)


def products_are_exact() -> bool:
    """Whether what is lowered here is for hardware that may round factors."""
    return _exact.get()


class RoundingEinsum(mtf.EinsumOperation):
    """An einsum of float32 whose factors the hardware may round, and so its gradients.

    On a TPU factors are rounded to bfloat16, which is six times as fast; on a GPU to
    TF32. Sums are float32 all the same. On a CPU nothing is rounded.
    """

    def gradient(self, grad_ys: list[mtf.Tensor]) -> list[mtf.Tensor]:
        """The gradients' products are of the same kind."""
        x, y = self.inputs
        return [
            rounding_einsum([grad_ys[0], y], x.shape),
            rounding_einsum([grad_ys[0], x], y.shape),
        ]

    def lower(self, lowering: mtf.Lowering) -> None:
        """Lowers it as any einsum, but for the matrix product."""
        token = _rounds.set(True)
        try:
            super().lower(lowering)
        finally:
            _rounds.reset(token)


def rounding_einsum(xs: Sequence[mtf.Tensor], output_shape: mtf.Shape) -> mtf.Tensor:
    """`mtf.einsum` of two tensors as `RoundingEinsum`."""
    return RoundingEinsum(list(xs), output_shape).outputs[0]


def _matmul(
    x: tf.Tensor, y: tf.Tensor, transpose_a: bool, transpose_b: bool
) -> tf.Tensor:
    """`tf.matmul`; factors of float32 stay whole where exact products are asked for.

    By default a TPU rounds them to bfloat16, and a GPU to TF32, before it multiplies.
    """
    is_exact = products_are_exact() and not _rounds.get() and not tf.executing_eagerly()
    if x.dtype != tf.float32 or not is_exact:
        return tf.matmul(x, y, transpose_a=transpose_a, transpose_b=transpose_b)
    batch, numbers = x.shape.rank - 2, xla.DotDimensionNumbers()
    numbers.lhs_batch_dimensions.extend(range(batch))
    numbers.rhs_batch_dimensions.extend(range(batch))
    numbers.lhs_contracting_dimensions.append(batch + (not transpose_a))
    numbers.rhs_contracting_dimensions.append(batch + transpose_b)
    exact = xla.PrecisionConfig(operand_precision=[xla.PrecisionConfig.HIGHEST] * 2)
    return xla.dot_general(x, y, numbers, exact)


def _matmul_apart(
    x: tf.Tensor, y: tf.Tensor, transpose_a: bool, transpose_b: bool
) -> tf.Tensor:
    """`_matmul` behind barriers: XLA merges no transposition around it into it."""
    (y,) = xla.optimization_barrier(y)
    (z,) = xla.optimization_barrier(_matmul(x, y, transpose_a, transpose_b))
    return z


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
    """
    # Labels are of four groups. The gradient of experts' weights, "ecd,ecf->edf", has
    # batch e, rows d, summed c, columns f: [e, d, c] @ [e, c, f].
    operands, result = equation.split("->")
    x_labels, y_labels = operands.split(",")
    sizes = dict(zip(x_labels + y_labels, [*x.shape, *y.shape], strict=True))
    batch = [label for label in result if label in x_labels and label in y_labels]
    summed = [label for label in x_labels if label in y_labels and label not in result]
    x_free = [label for label in x_labels if label not in y_labels]
    y_free = [label for label in y_labels if label not in x_labels]
    if x_free and y_free and result == "".join(batch + y_free + x_free):
        return product(f"{y_labels},{x_labels}->{result}", y, x)
    counts = [
        math.prod(sizes[label] for label in group)
        for group in (batch, x_free, summed, y_free)
    ]
    swap = y_labels == "".join(batch + y_free + summed) and _right_is_large(*counts)
    if swap:
        x, y, x_labels, y_labels = y, x, y_labels, x_labels
        x_free, y_free = y_free, x_free
    # On the left of a batch matrices have to be [rows, summed]: a CPU's products of
    # many small matrices are half as fast on ones that are not.
    left, turn_left = _matrices(x, x_labels, batch, x_free, summed, turn=not batch)
    right, turn_right = _matrices(y, y_labels, batch, summed, y_free, turn=not swap)
    multiply = _matmul_apart if swap else _matmul
    # [*batch, rows, summed] @ [*batch, summed, columns] -> [*batch, rows, columns]
    z = multiply(left, right, turn_left, turn_right)
    labels = batch + x_free + y_free
    z = _reshaped(z, [sizes[label] for label in labels])
    return _transposed(z, "".join(labels), result)


def _right_is_large(batch: int, rows: int, summed: int, columns: int) -> bool:
    """Whether right matrices that lie transposed should become the left ones.

    A CPU multiplies many matrices by transposed ones at half its speed. In the backward
    pass these are the weights of experts. Where they are larger than the left matrices
    and the products together, it is faster to transpose the latter two.
    """
    is_on_cpu = not products_are_exact()
    return is_on_cpu and batch > 1 and summed * columns > rows * (summed + columns)


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
