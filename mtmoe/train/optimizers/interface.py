"""What an optimizer is."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

import tensorflow as tf

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext

Gradients = Sequence[tuple[mtf.Variable, mtf.Tensor]]
"""Each trainable variable with its gradient, of the dtype the variable is read in."""


class Optimizer(Protocol):
    """Turns gradients into assignments."""

    def updates(
        self, context: GraphContext, gradients: Gradients, learning_rate: tf.Tensor
    ) -> list[mtf.Operation]:
        """Returns the operations that update every variable of `gradients`.

        Args:
          context: the graph; its step is the number of updates made so far.
          gradients: each trainable variable with its gradient.
          learning_rate: float32 scalar.

        Raises:
          ValueError: a variable has no gradient.
        """
        ...


def check_gradients(gradients: Gradients) -> None:
    """Checks that the loss depends on every variable.

    Raises:
      ValueError: a variable has no gradient.
    """
    if lacking := [variable.name for variable, grad in gradients if grad is None]:
        raise ValueError(f"the loss does not depend on the variables {lacking}")


def num_stacked_dims(
    shape: mtf.Shape, stacked_dims: Collection[str] = ("experts",)
) -> int:
    """Returns 1 if a variable of this shape is a stack of parameters, otherwise 0."""
    return int(shape.ndims > 0 and shape.dims[0].name in stacked_dims)
