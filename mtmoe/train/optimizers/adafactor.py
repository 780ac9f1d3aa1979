"""Adafactor on a mesh, with statistics of its own for every expert.

Adafactor (Shazeer and Stern 2018) keeps, for a matrix, the row and column means of the
squared gradients in place of the whole second moment. A variable whose first dimension
is `experts` holds one parameter per expert: each has its own row and column means, its
own clipping and its own scale, as if the experts were variables of their own. T5X does
the same; Mesh TensorFlow's optimizer treats such a variable as one tensor, and may even
factor it over the experts.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import gin
import tensorflow as tf

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.ranges import Between, Count, Positive, check_fields
from mtmoe.train.optimizers.interface import (
    Gradients,
    check_gradients,
    num_stacked_dims,
)
from mtmoe.train.optimizers.means import MeansAcross, mean_over
from mtmoe.train.optimizers.norm import clipping_factor
from mtmoe.train.optimizers.update import (
    Target,
    UpdateRule,
    VariableUpdate,
    traced_method,
)

_FACTORS = ("adafactor_vr", "adafactor_vc")  # means over the largest, the second
_MOMENTUM = "adafactor_m"


@gin.configurable
@dataclasses.dataclass(frozen=True)
class Adafactor:
    """Adafactor as T5 is trained: without momentum, unless it is asked for.

    Attributes:
      multiply_by_parameter_scale: make the learning rate relative to the root mean
        square of each parameter (section 8).
      decay_exponent: the second moment decays by 1 - (step + 1)^-decay_exponent
        (section 7.2).
      clipping_threshold: the root mean square an update may have, d in section 6; None
        for no clipping.
      momentum: beta1 of section 3 and of T5X: what is subtracted is the running mean of
        the clipped and scaled updates, m = beta1 m + (1 - beta1) update, without bias
        correction. It costs a number a parameter. None: no such mean is kept.
      weight_decay_rate: share of every parameter that is subtracted at each step, as
        in T5X not multiplied by the learning rate. None: no decay.
      factored: factor the second moment of matrices; otherwise it is kept whole.
      min_dim_size_to_factor: a variable is factored over its two largest dimensions if
        both are at least this large.
      clip_global_norm: gradients are scaled down together so that their 2-norm is at
        most this. Next to nothing where second moments have settled, since an update
        does not depend on the scale of the gradients. None: never.
      epsilon1: added to the squared gradients.
      epsilon2: the least scale of a parameter, which lets zeros grow.
      stacked_dims: a variable whose first dimension has one of these names is a stack
        of parameters that share no statistics.

    Raises:
      ConfigError: a number is out of range.
    """

    multiply_by_parameter_scale: bool = True
    decay_exponent: Positive = 0.8
    clipping_threshold: Positive | None = 1.0
    momentum: Between | None = None
    weight_decay_rate: Between | None = None
    factored: bool = True
    min_dim_size_to_factor: Count = 128
    clip_global_norm: Positive | None = None
    epsilon1: Positive = 1e-30
    epsilon2: Positive = 1e-3
    stacked_dims: tuple[str, ...] = ("experts",)

    def __post_init__(self) -> None:
        """Checks the ranges."""
        check_fields(self)

    def updates(
        self,
        context: GraphContext,
        gradients: Gradients,
        learning_rate: tf.Tensor | float,
    ) -> list[mtf.Operation]:
        """Returns the operations that update variables and second moments.

        The second moments are variables `<variable>/adafactor_vr` and `_vc`, or
        `<variable>/adafactor_v` where they are not factored, and the momentum is
        `<variable>/adafactor_m`; zero at first. See `Optimizer`.
        """
        check_gradients(gradients)
        factor = clipping_factor(gradients, self.clip_global_norm)
        step = tf.cast(context.step, tf.float32)
        rule = _AdafactorRule(
            tf.convert_to_tensor(learning_rate, tf.float32),
            "adafactor",
            self,
            mixing=tf.pow(step + 1.0, -self.decay_exponent),
        )
        return [
            VariableUpdate(context, rule, self._target(variable, grad), factor)
            for variable, grad in gradients
        ]

    def _target(self, variable: mtf.Variable, gradient: mtf.Tensor) -> Target:
        shape = gradient.shape
        first = num_stacked_dims(shape, self.stacked_dims)
        factored = self.factored_axes(shape) or ()
        state = {"adafactor_v": shape}
        if factored:
            state = {
                name: shape - shape.dims[axis]
                for name, axis in zip(_FACTORS, factored, strict=True)
            }
        if self.momentum is not None:
            state[_MOMENTUM] = shape
        axes = _Axes(tuple(range(first, shape.ndims)), factored)
        return Target(variable, gradient, state, kind=axes)

    def factored_axes(self, shape: mtf.Shape) -> tuple[int, int] | None:
        """Returns the axes of the largest and second largest dimension to factor over.

        None to keep the second moment of a variable of this shape whole.
        """
        axes = range(num_stacked_dims(shape, self.stacked_dims), shape.ndims)
        largest = sorted(axes, key=lambda axis: -shape.dims[axis].size)[:2]
        if not self.factored or len(largest) < 2:
            return None
        if shape.dims[largest[1]].size < self.min_dim_size_to_factor:
            return None
        return largest[0], largest[1]


class _Axes(NamedTuple):
    """Dimensions of a variable.

    Attributes:
      parameter: those of one parameter: all, or all but the one of the experts.
      factored: those from `Adafactor.factored_axes`; empty if there are none.
    """

    parameter: tuple[int, ...]
    factored: tuple[int, ...]


@dataclasses.dataclass(eq=False)
class _AdafactorRule(UpdateRule):
    """Adafactor's updates in one step.

    Attributes:
      config: the optimizer.
      mixing: share of a second moment that is the new gradient's, 1 - beta2.
    """

    config: Adafactor
    mixing: tf.Tensor

    def change(
        self,
        mesh_impl: mtf.MeshImpl,
        target: Target,
        value: Any,
        gradient: Any,
        **state: Any,
    ) -> tuple[Any, dict[str, Any]]:
        """Algorithm 4 of the paper, or algorithm 2 where moments are kept whole."""
        slicewise, axes, config = mesh_impl.slicewise, target.kind, self.config
        mean = MeansAcross(mesh_impl, target.gradient.shape)
        old_momentum = state.pop(_MOMENTUM, None)
        # Between the functions of slices lie means across the processors that split a
        # dimension; without such a split they are what is passed on.
        if axes.factored:
            squares = slicewise(self.mean_squares, axes, gradient)
            squares = [
                mean([square], [axis])[0]
                for square, axis in zip(squares, axes.factored, strict=True)
            ]
            *moments, row_mean = slicewise(
                self.factored_moment, axes, *squares, *state.values()
            )
            divisors = [*moments, *mean([row_mean], axes.factored[1:])]
        else:
            moments = [slicewise(self.whole_moment, gradient, *state.values())]
            divisors = moments
        scales = slicewise(self.scales, axes, value, gradient, *divisors)
        scales = mean(scales, axes.parameter)
        change = slicewise(self.scaled, axes, gradient, *scales, *divisors)
        new_state = dict(zip(state, moments, strict=True))
        if config.momentum is not None:
            change = slicewise(self.momentum, config.momentum, old_momentum, change)
            new_state[_MOMENTUM] = change
        if config.weight_decay_rate is not None:
            change = slicewise(
                self.weight_decay, config.weight_decay_rate, change, value
            )
        return change, new_state

    def _mix(self, moment: tf.Tensor, square: tf.Tensor) -> tf.Tensor:
        mixing = self.mixing
        return (1.0 - mixing) * moment + mixing * (square + self.config.epsilon1)

    @traced_method
    def whole_moment(self, gradient: tf.Tensor, moment: tf.Tensor) -> tf.Tensor:
        return self._mix(moment, tf.square(gradient))

    @traced_method
    def mean_squares(
        self, axes: _Axes, gradient: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        largest, second = axes.factored
        squares = tf.square(gradient)
        return mean_over(squares, [largest]), mean_over(squares, [second])

    @traced_method
    def factored_moment(
        self,
        axes: _Axes,
        row_squares: tf.Tensor,
        column_squares: tf.Tensor,
        rows: tf.Tensor,
        columns: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Row means, column means, and the mean of the row means.

        Algorithm 4, lines 6 to 8 of the paper, the sums taken as means: V is taken to
        be R C / mean(R), which the means of R = V's rows and C = V's columns determine.
        """
        # Of a parameter [n, m], n >= m: rows [m], means over n; columns [n], means over
        # m; their row_mean is one number. A stack of E experts has E of each.
        largest, second = axes.factored
        rows = self._mix(rows, tf.squeeze(row_squares, largest))
        columns = self._mix(columns, tf.squeeze(column_squares, second))
        row_mean = mean_over(tf.expand_dims(rows, largest), [second])
        return rows, columns, row_mean

    def _direction(
        self, axes: _Axes, gradient: tf.Tensor, *divisors: tf.Tensor
    ) -> tf.Tensor:
        """The gradient divided by the root of its second moment."""
        # Powers: each root takes ten milliseconds longer to lower. A factored moment is
        # never written out: its root is the product of [1, m] and [n, 1].
        if not axes.factored:
            return gradient * tf.pow(divisors[0], -0.5)
        rows, columns, row_mean = divisors
        largest, second = axes.factored
        row_factor = tf.pow(tf.expand_dims(rows, largest) / row_mean, -0.5)
        column_factor = tf.pow(tf.expand_dims(columns, second), -0.5)
        return gradient * (row_factor * column_factor)

    @traced_method
    def scales(
        self,
        axes: _Axes,
        value: tf.Tensor,
        gradient: tf.Tensor,
        *divisors: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Mean squares of the parameter and of its update's direction."""
        # The direction is computed here and again for the change: to read the gradient
        # once more is cheaper than to write and read the product.
        direction = self._direction(axes, gradient, *divisors)
        return (
            mean_over(tf.square(value), axes.parameter),
            mean_over(tf.square(direction), axes.parameter),
        )

    @traced_method
    def scaled(
        self,
        axes: _Axes,
        gradient: tf.Tensor,
        value_mean_square: tf.Tensor,
        direction_mean_square: tf.Tensor,
        *divisors: tf.Tensor,
    ) -> tf.Tensor:
        """The direction, clipped, times the learning rate and the parameter's scale."""
        config, scale = self.config, self.learning_rate
        if config.clipping_threshold is not None:
            excess = tf.pow(direction_mean_square, 0.5) / config.clipping_threshold
            scale /= tf.maximum(1.0, excess)
        if config.multiply_by_parameter_scale:
            scale *= tf.maximum(tf.pow(value_mean_square, 0.5), config.epsilon2)
        return self._direction(axes, gradient, *divisors) * scale

    @traced_method
    def momentum(self, decay: float, mean: tf.Tensor, change: tf.Tensor) -> tf.Tensor:
        return decay * mean + (1.0 - decay) * change

    @traced_method
    def weight_decay(
        self, rate: float, change: tf.Tensor, value: tf.Tensor
    ) -> tf.Tensor:
        return change + rate * value
