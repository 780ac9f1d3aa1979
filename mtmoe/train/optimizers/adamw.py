"""AdamW: Adam with weight decay that does not pass through the moments."""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Any

import gin
import tensorflow as tf

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.ranges import NonNegative, Positive, Rate, check_fields
from mtmoe.train.optimizers.interface import (
    Gradients,
    check_gradients,
    num_stacked_dims,
)
from mtmoe.train.optimizers.norm import clipping_factor
from mtmoe.train.optimizers.update import (
    Target,
    UpdateRule,
    VariableUpdate,
    traced_method,
)

_UNDECAYED = re.compile(r"(^|[/_])(bias|scale)$")


@gin.configurable
@dataclasses.dataclass(frozen=True)
class AdamW:
    """AdamW with bias correction (Loshchilov and Hutter 2019, algorithm 2).

    With t updates made, this one included, m and v the moments after it:

        change = m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + epsilon)
        variable -= learning_rate * (change + weight_decay * variable)

    The decay is multiplied by the learning rate, as PyTorch does it: the paper's
    schedule multiplier alone would be learning_rate over the base rate. All is element
    by element, so experts have nothing in common but `clip_global_norm`.

    Attributes:
      beta1: decay of the first moment.
      beta2: decay of the second moment.
      epsilon: added to the root of the second moment, after bias correction.
      weight_decay: lambda. Scales, biases and relative position biases do not decay:
        variables of one dimension (one beside `experts`) or less, and those whose name
        ends in `bias` or `scale`.
      clip_global_norm: gradients are scaled down together so that their 2-norm is at
        most this (Pascanu et al. 2013). None: never.
      expert_gradient_scale: what gradients of experts are multiplied by, before the
        norm is taken; Artetxe et al. 2022 divide by the root of the number of experts.
        Adam does not depend on the scale of gradients; it matters for
        `clip_global_norm`, and where gradients are as small as epsilon.

    Raises:
      ConfigError: a number is out of range.
    """

    beta1: Rate = 0.9
    beta2: Rate = 0.999
    epsilon: Positive = 1e-8
    weight_decay: NonNegative = 0.01
    clip_global_norm: Positive | None = None
    expert_gradient_scale: Positive = 1.0

    def __post_init__(self) -> None:
        """Checks the ranges."""
        check_fields(self)

    def updates(
        self,
        context: GraphContext,
        gradients: Gradients,
        learning_rate: tf.Tensor | float,
    ) -> list[mtf.Operation]:
        """Returns the operations that update variables and moments.

        The moments are variables `<variable>/adamw_m` and `<variable>/adamw_v`, zero
        at first. See `Optimizer`.
        """
        check_gradients(gradients)
        if self.expert_gradient_scale != 1.0:
            gradients = [
                (
                    variable,
                    grad * self.expert_gradient_scale
                    if num_stacked_dims(variable.shape)
                    else grad,
                )
                for variable, grad in gradients
            ]
        factor = clipping_factor(gradients, self.clip_global_norm)
        learning_rate = tf.convert_to_tensor(learning_rate, tf.float32)
        updates = tf.cast(context.step + 1, tf.float32)
        # Both corrections as numbers of the step (Kingma and Ba 2015, section 2) rather
        # than a division of every element.
        root = tf.sqrt(_bias_correction(self.beta2, updates))
        rule = _AdamWRule(
            learning_rate,
            "adamw",
            self,
            direction_rate=learning_rate * root / _bias_correction(self.beta1, updates),
            epsilon=self.epsilon * root,
        )
        return [
            VariableUpdate(context, rule, self._target(variable, grad), factor)
            for variable, grad in gradients
        ]

    def _target(self, variable: mtf.Variable, gradient: mtf.Tensor) -> Target:
        state = dict.fromkeys(("adamw_m", "adamw_v"), gradient.shape)
        return Target(variable, gradient, state, kind=self.decays(variable))

    def decays(self, variable: mtf.Variable) -> bool:
        """Whether weight decay applies to a variable; not to scales and biases."""
        dims = variable.shape.ndims - num_stacked_dims(variable.shape)
        named = _UNDECAYED.search(variable.name)
        return self.weight_decay > 0 and dims > 1 and not named


def _bias_correction(beta: float, updates: tf.Tensor) -> tf.Tensor:
    """1 - beta^updates, without loss of digits where beta is close to 1."""
    if beta == 0:
        return tf.ones([], tf.float32)
    return -tf.math.expm1(updates * math.log(beta))


@dataclasses.dataclass(eq=False)
class _AdamWRule(UpdateRule):
    """AdamW's updates in one step.

    Attributes:
      config: the optimizer.
      direction_rate: the learning rate with the corrections of both moments' bias.
      epsilon: epsilon as it is added to the root of the uncorrected second moment.
    """

    config: AdamW
    direction_rate: tf.Tensor
    epsilon: tf.Tensor

    def change(
        self,
        mesh_impl: mtf.MeshImpl,
        target: Target,
        value: Any,
        gradient: Any,
        **state: Any,
    ) -> tuple[Any, dict[str, Any]]:
        """Lines 6 to 12 of algorithm 2."""
        change, first, second = mesh_impl.slicewise(
            self.step,
            target.kind,
            value,
            gradient,
            state["adamw_m"],
            state["adamw_v"],
        )
        return change, {"adamw_m": first, "adamw_v": second}

    @traced_method
    def step(
        self,
        decays: bool,
        value: tf.Tensor,
        gradient: tf.Tensor,
        first: tf.Tensor,
        second: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        config = self.config
        first = config.beta1 * first + (1.0 - config.beta1) * gradient
        second = config.beta2 * second + (1.0 - config.beta2) * tf.square(gradient)
        change = self.direction_rate * first / (tf.sqrt(second) + self.epsilon)
        if decays:
            change += self.learning_rate * config.weight_decay * value
        return change, first, second
