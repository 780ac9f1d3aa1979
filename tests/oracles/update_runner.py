"""Makes a few updates of given variables by given gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from mtmoe.engine.program import MeshProgram
from mtmoe.mesh import initializers
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.mesh.layout import Layout
from mtmoe.train.optimizers.interface import Gradients, Optimizer

STEPS = 5


def learning_rate(context: GraphContext) -> tf.Tensor:
    """Another one at every step: 0.1, 0.2, ..."""
    return 0.1 * tf.cast(context.step + 1, tf.float32)


def optimizer_updates(
    optimizer: Optimizer,
) -> Callable[[GraphContext, Gradients], list[mtf.Operation]]:
    """What `make_updates` takes to run an optimizer."""
    return lambda context, pairs: optimizer.updates(
        context, pairs, learning_rate(context)
    )


def make_updates(
    updates: Callable[[GraphContext, Gradients], list[mtf.Operation]],
    shapes: Mapping[str, mtf.Shape],
    values: Mapping[str, np.ndarray],
    gradients: Mapping[str, np.ndarray],
    layout: Layout | None = None,
    gradient_dtype: tf.DType = tf.float32,
) -> dict[str, np.ndarray]:
    """Makes STEPS updates; returns all variables, the optimizer's too.

    Args:
      updates: makes the operations.
      shapes: of the variables.
      values: their first values.
      gradients: of each variable, one gradient for every step.
      layout: the mesh.
      gradient_dtype: what variables are read in, and their gradients' dtype.
    """
    program = MeshProgram(layout)

    def build(context, features):
        pairs = []
        for name, shape in shapes.items():
            value = context.variable(
                name, shape, initializers.zeros, dtype=gradient_dtype
            )
            grad = context.import_tensor(features[name], shape)
            pairs.append((value.operation, mtf.cast(grad, gradient_dtype)))
        done = context.import_tensor(tf.constant(1.0), mtf.Shape([]))
        return {"done": done}, updates(context, pairs)

    signature = {
        name: tf.TensorSpec(shape.to_integer_list) for name, shape in shapes.items()
    }
    step_function = program.function(build, signature, "step", training=True)
    first = {name: values[name] for name in shapes}
    program.assign(program.variables() | first)
    for step in range(STEPS):
        step_function(step, **{name: gradients[name][step] for name in shapes})
    return program.variables()
