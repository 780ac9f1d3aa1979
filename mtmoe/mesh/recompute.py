"""Trading time for memory: parts of a graph that the backward pass computes again.

What a function computes is not kept from the forward to the backward pass; there it is
computed a second time, from the function's inputs (Chen et al. 2016, "Training deep
nets with sublinear memory cost", section 4). Noise is a pure function of its key, so it
is the same again.

`mtf.recompute_grad` does this for functions without auxiliary outputs. Here everything
that a function returns is an output with a gradient of its own, losses and statistics
included, in whatever dataclasses and tuples it comes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import tensorflow as tf

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.mesh.structure import find_all, replace_all

T = TypeVar("T")


def recompute(context: GraphContext, function: Callable[[], T]) -> T:
    """Calls a function so that the backward pass computes it again.

    What `function` adds to the graph and does not return, in tuples, lists, dataclasses
    and mappings, cannot be used elsewhere: its gradient would be lost. Outside training
    it is just called.

    Raises:
      ValueError: later, where a tensor is used that `function` did not return.
    """
    if not context.training:
        return function()
    graph = context.mesh.graph
    _ = context.noise_step  # an input of what follows, as are all tensors made before
    returned, operations = graph.capture_operations(function)
    internal = _made_by(operations)
    external = dict.fromkeys(
        tensor
        for operation in operations
        for tensor in operation.inputs
        if tensor not in internal
    )
    results = [x for x in find_all(returned, mtf.Tensor) if x in internal]
    results = list(dict.fromkeys(results))
    recomputed = _Recomputed(list(external), results, operations)
    _set_usable(internal, False)
    outputs = dict(zip(results, recomputed.outputs, strict=True))
    return replace_all(returned, mtf.Tensor, lambda x: outputs.get(x, x))


class _Recomputed(mtf.Operation):
    """Its outputs are those of operations that its gradient runs once more."""

    def __init__(
        self,
        external: list[mtf.Tensor],
        results: list[mtf.Tensor],
        operations: list[mtf.Operation],
    ):
        super().__init__(external + results, name="recomputed")
        self._external, self._results = external, results
        self._operations = operations
        self._outputs = [
            mtf.Tensor(self, tensor.shape, tensor.dtype, index=index)
            for index, tensor in enumerate(results)
        ]

    def lower(self, lowering: mtf.Lowering) -> None:
        for result, output in zip(self._results, self.outputs, strict=True):
            lowering.set_tensor_lowering(output, lowering.tensors[result])

    def gradient(self, grad_ys: list[mtf.Tensor | None]) -> list[mtf.Tensor | None]:
        graph = self.mesh.graph
        pairs = [
            (result, gradient)
            for result, gradient in zip(self._results, grad_ys, strict=True)
            if gradient is not None
        ]
        results, gradients = (list(column) for column in zip(*pairs, strict=True))
        # Of all that waits in the forward pass only the external tensors are kept. They
        # pass through `_After`, whose outputs are there once gradients are; the
        # operations are cloned on them, and the gradients taken through the clones.
        internal = _made_by(self._operations)
        num_operations = len(graph.operations)
        later = self._after(gradients)
        _set_usable(internal, True)  # for gradient functions that hold them
        again, mapping = graph.clone_operations(self._needed_for(results), later)
        differentiable = [x for x in self._external if x.dtype.is_floating]
        grad_xs = mtf.gradients(
            [mapping[result] for result in results],
            [later.get(x, x) for x in differentiable],
            gradients,
            operations=again,
        )
        # Gradient functions may hold tensors of the first computation: what they made
        # is put on the second one's, or the first would be kept all the same.
        for operation in graph.operations[num_operations:]:
            if not isinstance(operation, _After):
                operation._inputs = [mapping.get(x, x) for x in operation.inputs]
        _set_usable(internal, False)
        by_input = dict(zip(differentiable, grad_xs, strict=True))
        return [by_input.get(x) for x in self._external] + [None] * len(self._results)

    def _needed_for(self, results: Iterable[mtf.Tensor]) -> list[mtf.Operation]:
        """The operations that some of the results are made by, in order."""
        wanted = set(results)
        needed = []
        for operation in reversed(self._operations):
            if not wanted.isdisjoint(operation.outputs):
                wanted.update(operation.inputs)
                needed.append(operation)
        return needed[::-1]

    def _after(self, gradients: list[mtf.Tensor]) -> dict[mtf.Tensor, mtf.Tensor]:
        """Maps what comes in, but for variables, to itself, once there are gradients.

        Variables are there all the time, so nothing is saved by waiting for them.
        """
        waiting = [
            x for x in self._external if not isinstance(x.operation, mtf.Variable)
        ]
        return dict(zip(waiting, _After(waiting, gradients).outputs, strict=True))


class _After(mtf.Operation):
    """Tensors as they are, but not before other tensors have been computed.

    XLA knows no control dependencies, and on a CPU removes its optimization barriers
    before it merges equal expressions. So a zero made of the other tensors, which it
    does not see to be zero, is added to each.
    """

    def __init__(self, tensors: list[mtf.Tensor], others: list[mtf.Tensor]):
        super().__init__(tensors + others, name="after")
        self._num_tensors = len(tensors)
        self._outputs = [
            mtf.Tensor(self, tensor.shape, tensor.dtype, index=index)
            for index, tensor in enumerate(tensors)
        ]

    def lower(self, lowering: mtf.Lowering) -> None:
        mesh_impl = lowering.mesh_impl(self)
        laid_out = [lowering.tensors[tensor] for tensor in self.inputs]
        tensors, others = laid_out[: self._num_tensors], laid_out[self._num_tensors :]
        zero = mesh_impl.slicewise(_zero, *others)
        for tensor, output in zip(tensors, self.outputs, strict=True):
            lowering.set_tensor_lowering(
                output, mesh_impl.slicewise(_add_zero, tensor, zero)
            )


def _zero(*tensors: tf.Tensor) -> tf.Tensor:
    """An int32 zero that cannot be had before the tensors, whatever they hold."""
    total = tf.zeros([], tf.int32)
    for tensor in tensors:
        first = tf.cast(tf.reshape(tensor, [-1])[0], tf.float32)
        lowest_bit = tf.bitcast(first, tf.int32) & 1
        total += tf.bitwise.right_shift(lowest_bit, 1)
    return total


def _add_zero(tensor: tf.Tensor, zero: tf.Tensor) -> tf.Tensor:
    if tensor.dtype == tf.bool:
        return tf.logical_or(tensor, zero > 0)
    return tensor + tf.cast(zero, tensor.dtype)


def _made_by(operations: Iterable[mtf.Operation]) -> dict[mtf.Tensor, None]:
    """What operations make, in order; variables are there without them."""
    return {
        tensor: None
        for operation in operations
        if not isinstance(operation, mtf.Variable)
        for tensor in operation.outputs
    }


def _set_usable(tensors: Iterable[mtf.Tensor], usable: bool) -> None:
    for tensor in tensors:
        tensor.usable = usable
