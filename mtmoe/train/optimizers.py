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
import math
from collections.abc import Callable, Sequence
from typing import Any

import gin
import tensorflow as tf

from mtmoe.mesh import initializers
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext

Gradients = Sequence[tuple[mtf.Variable, mtf.Tensor]]


@gin.configurable
@dataclasses.dataclass(frozen=True)
class Adafactor:
    """Adafactor without momentum, as T5 is trained.

    Attributes:
      multiply_by_parameter_scale: make the learning rate relative to the root mean
        square of each parameter (section 8).
      decay_exponent: the second moment decays by 1 - (step + 1)^-decay_exponent
        (section 7.2).
      clipping_threshold: the root mean square an update may have, d in section 6; None
        for no clipping.
      factored: factor the second moment of matrices; otherwise it is kept whole.
      min_dim_size_to_factor: a variable is factored over its two largest dimensions if
        both are at least this large.
      epsilon1: added to the squared gradients.
      epsilon2: the least scale of a parameter, which lets zeros grow.
      stacked_dims: a variable whose first dimension has one of these names is a stack
        of parameters that share no statistics.
    """

    multiply_by_parameter_scale: bool = True
    decay_exponent: float = 0.8
    clipping_threshold: float | None = 1.0
    factored: bool = True
    min_dim_size_to_factor: int = 128
    epsilon1: float = 1e-30
    epsilon2: float = 1e-3
    stacked_dims: tuple[str, ...] = ("experts",)

    def updates(
        self,
        context: GraphContext,
        gradients: Gradients,
        learning_rate: tf.Tensor | float,
    ) -> list[mtf.Operation]:
        """Returns the operations that update variables and second moments.

        The second moments are variables `<variable>/adafactor_vr` and `_vc`, or
        `<variable>/adafactor_v` where they are not factored; zero at first.

        Args:
          context: the graph; its step is the number of updates made so far.
          gradients: each trainable variable with its gradient.
          learning_rate: float32 scalar.

        Raises:
          ValueError: a variable has no gradient.
        """
        if lacking := [variable.name for variable, grad in gradients if grad is None]:
            raise ValueError(f"the loss does not depend on the variables {lacking}")
        learning_rate = tf.convert_to_tensor(learning_rate, tf.float32)
        step = tf.cast(context.step, tf.float32)
        decay = 1.0 - tf.pow(step + 1.0, -self.decay_exponent)
        return [
            _AdafactorUpdate(self, context, variable, grad, learning_rate, decay)
            for variable, grad in gradients
        ]

    def num_stacked_dims(self, shape: mtf.Shape) -> int:
        """Returns 1 if the variable is a stack of parameters, otherwise 0."""
        return int(shape.ndims > 0 and shape.dims[0].name in self.stacked_dims)

    def factored_axes(self, shape: mtf.Shape) -> tuple[int, int] | None:
        """Chooses the two dimensions to factor the second moment over.

        Args:
          shape: shape of a variable.

        Returns:
          The axes of the largest and the second largest dimension; None to keep the
          moment whole.
        """
        axes = range(self.num_stacked_dims(shape), shape.ndims)
        largest = sorted(axes, key=lambda axis: -shape.dims[axis].size)[:2]
        if not self.factored or len(largest) < 2:
            return None
        if shape.dims[largest[1]].size < self.min_dim_size_to_factor:
            return None
        return largest[0], largest[1]


def global_norm(gradients: Gradients) -> mtf.Tensor:
    """Returns the 2-norm of all gradients together, a float32 scalar."""
    return _GlobalNorm([grad for _, grad in gradients]).outputs[0]


class _AdafactorUpdate(mtf.Operation):
    """Assigns to one variable and to its second moments.

    One operation, where a composition of Mesh TensorFlow's own would be thirty: their
    number is the time it takes to build the graph of a large model.
    """

    def __init__(
        self,
        config: Adafactor,
        context: GraphContext,
        variable: mtf.Variable,
        gradient: mtf.Tensor,
        learning_rate: tf.Tensor,
        decay: tf.Tensor,
    ):
        self._config = config
        self._variable = variable
        self._learning_rate = learning_rate
        self._decay = decay
        self._factored_axes = config.factored_axes(variable.shape)
        if self._factored_axes is None:
            self._moments = [self._moment(context, "v")]
        else:
            largest, second = self._factored_axes
            self._moments = [
                self._moment(context, "vr", largest),
                self._moment(context, "vc", second),
            ]
        # Operations are lowered in the order of creation: the moments come first.
        super().__init__([variable.value, gradient], name="adafactor")

    def _moment(
        self, context: GraphContext, name: str, reduced_axis: int | None = None
    ) -> mtf.Variable:
        dims = self._variable.shape.dims
        shape = [dim for axis, dim in enumerate(dims) if axis != reduced_axis]
        value = context.variable(
            f"{self._variable.name}/adafactor_{name}",
            mtf.Shape(shape),
            initializers.zeros,
            trainable=False,
        )
        return value.operation

    def lower(self, lowering: mtf.Lowering) -> None:
        means = _Means(lowering.mesh_impl(self), self._variable.shape)
        gradient = lowering.tensors[self.inputs[1]].to_laid_out_tensor()
        moments = [lowering.variables[moment] for moment in self._moments]
        old = [moment.laid_out_tensor for moment in moments]
        if self._factored_axes is None:
            new, direction = self._whole_moment(means, gradient, *old)
        else:
            new, direction = self._factored_moment(
                means, gradient, self._factored_axes, *old
            )
        variable = lowering.variables[self._variable]
        change = self._scaled(means, direction, variable.laid_out_tensor)
        assignments = [
            variable.assign_to_slices(mtf.assign_sub_slice, change.all_slices)
        ]
        for moment, new_value in zip(moments, new, strict=True):
            assignments.append(
                moment.assign_to_slices(mtf.assign_slice, new_value.all_slices)
            )
        lowering.operations[self] = tf.group(assignments)

    def _whole_moment(
        self, means: _Means, gradient: Any, moment: Any
    ) -> tuple[list[Any], Any]:
        """The new second moment, and the gradient divided by its root."""

        def update(
            gradient: tf.Tensor, moment: tf.Tensor, decay: tf.Tensor
        ) -> tuple[tf.Tensor, tf.Tensor]:
            gradient = tf.cast(gradient, tf.float32)
            square = tf.square(gradient) + self._config.epsilon1
            moment = decay * moment + (1.0 - decay) * square
            return moment, gradient * tf.math.rsqrt(moment)

        moment, direction = means.slicewise(update, gradient, moment, self._decay)
        return [moment], direction

    def _factored_moment(
        self,
        means: _Means,
        gradient: Any,
        factored_axes: tuple[int, int],
        rows: Any,
        columns: Any,
    ) -> tuple[list[Any], Any]:
        """The new row and column means, and the gradient divided by their root.

        Algorithm 4, lines 6 to 9 of the paper, the row sums taken as means.
        """
        epsilon1 = self._config.epsilon1

        def mix(
            moment: tf.Tensor, mean: tf.Tensor, decay: tf.Tensor, axis: int
        ) -> tf.Tensor:
            mean = tf.squeeze(mean, axis)
            return decay * moment + (1.0 - decay) * (mean + epsilon1)

        new = [
            means.slicewise(
                mix, moment, means.mean_square(gradient, [axis]), self._decay, axis
            )
            for moment, axis in zip((rows, columns), factored_axes, strict=True)
        ]
        largest, second = factored_axes
        expanded = means.slicewise(lambda x: tf.expand_dims(x, largest), new[0])
        row_mean = means.mean(expanded, [second])

        def divide(
            gradient: tf.Tensor,
            rows: tf.Tensor,
            row_mean: tf.Tensor,
            columns: tf.Tensor,
        ) -> tf.Tensor:
            columns = tf.expand_dims(columns, second)
            gradient = tf.cast(gradient, tf.float32)
            return gradient * (tf.math.rsqrt(rows / row_mean) * tf.math.rsqrt(columns))

        return new, means.slicewise(divide, gradient, expanded, row_mean, new[1])

    def _scaled(self, means: _Means, direction: Any, value: Any) -> Any:
        """The direction, clipped, times the learning rate and the parameter's scale."""
        config = self._config
        axes = range(config.num_stacked_dims(self._variable.shape), means.shape.ndims)

        def scale(
            direction: tf.Tensor,
            mean_square: tf.Tensor,
            value_mean_square: tf.Tensor,
            learning_rate: tf.Tensor,
        ) -> tf.Tensor:
            factor = learning_rate
            if config.clipping_threshold is not None:
                excess = tf.sqrt(mean_square) / config.clipping_threshold
                factor /= tf.maximum(1.0, excess)
            if config.multiply_by_parameter_scale:
                factor *= tf.maximum(tf.sqrt(value_mean_square), config.epsilon2)
            return direction * factor

        return means.slicewise(
            scale,
            direction,
            means.mean_square(direction, axes),
            means.mean_square(value, axes),
            self._learning_rate,
        )


class _Means:
    """Means over dimensions of a laid out tensor, across the processors that split it.

    Attributes:
      shape: shape of the tensor; axes count its dimensions.
      slicewise: the `slicewise` of the mesh implementation.
    """

    def __init__(self, mesh_impl: mtf.MeshImpl, shape: mtf.Shape):
        self.shape = shape
        self.slicewise = mesh_impl.slicewise
        self._allreduce = mesh_impl.allreduce
        self._mesh_axes = mesh_impl.tensor_layout(shape).tensor_axis_to_mesh_axis

    def mean(self, x: Any, axes: Sequence[int]) -> Any:
        """The mean over `axes`, which are kept with size 1."""
        return self._mean(lambda x: x, x, axes)

    def mean_square(self, x: Any, axes: Sequence[int]) -> Any:
        """The mean of the squares over `axes`, which are kept with size 1."""
        return self._mean(tf.square, x, axes)

    def _mean(
        self, function: Callable[[tf.Tensor], tf.Tensor], x: Any, axes: Sequence[int]
    ) -> Any:
        count = math.prod(self.shape.dims[axis].size for axis in axes)

        def partial_mean(x: tf.Tensor) -> tf.Tensor:
            terms = function(tf.cast(x, tf.float32))
            return tf.reduce_sum(terms, list(axes), keepdims=True) * (1.0 / count)

        split = [self._mesh_axes[axis] for axis in axes]
        split = sorted(axis for axis in split if axis is not None)
        partial = self.slicewise(partial_mean, x)
        return self._allreduce(partial, split, "SUM") if split else partial


class _GlobalNorm(mtf.Operation):
    """The 2-norm of several tensors together, as one operation."""

    def __init__(self, tensors: list[mtf.Tensor]):
        super().__init__(tensors, name="global_norm")
        self._outputs = [mtf.Tensor(self, mtf.Shape([]), tf.float32)]

    def lower(self, lowering: mtf.Lowering) -> None:
        mesh_impl = lowering.mesh_impl(self)

        def total(*slices: tf.Tensor) -> tf.Tensor:
            squares = (tf.square(tf.cast(x, tf.float32)) for x in slices)
            return tf.add_n([tf.reduce_sum(square) for square in squares])

        by_axes: dict[tuple[int, ...], list[Any]] = {}
        for tensor in self.inputs:
            layout = mesh_impl.tensor_layout(tensor).tensor_axis_to_mesh_axis
            axes = tuple(sorted(axis for axis in layout if axis is not None))
            by_axes.setdefault(axes, []).append(lowering.tensors[tensor])
        totals = []
        for axes, slices in by_axes.items():
            partial = mesh_impl.slicewise(total, *slices)
            totals.append(
                mesh_impl.allreduce(partial, list(axes), "SUM") if axes else partial
            )
        norm = mesh_impl.slicewise(lambda *x: tf.sqrt(tf.add_n(x)), *totals)
        lowering.set_tensor_lowering(self.outputs[0], norm)
