"""A TensorFlow graph as a function of any of its tensors.

`tf.compat.v1.wrap_function(...).prune(...)` does this by copying the graph, which takes
as long as a third of building it. These are TensorFlow's own parts of it, which are not
public: the one place that may need care with another TensorFlow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
from tensorflow.core.function.polymorphism import function_type
from tensorflow.python.eager.polymorphic_function import (
    compiler_ir,
    concrete_function,
)
from tensorflow.python.framework import func_graph


def trace(
    function: Callable[..., Sequence[tf.Tensor]], inputs: Sequence[tf.TensorSpec]
) -> Any:
    """Builds a graph, of inputs and outputs, in which only what is asked for runs.

    `function` is called with a tensor for each of `inputs`, and returns tensors.
    """
    return func_graph.func_graph_from_py_func(
        "mesh_program",
        function,
        args=None,
        kwargs=None,
        signature=list(inputs),
        add_control_dependencies=False,
        func_graph=_Graph(),
    )


class _Graph(func_graph.FuncGraph):
    """A graph that holds each constant once, however often it is asked for.

    The shapes and axes of reshapes, transposes and sums are constants: of a step's
    operations a third, nearly all of them equal to another one.
    """

    def __init__(self) -> None:
        super().__init__("mesh_program", collections={})
        self._constants: dict[bytes, Any] = {}

    def _create_op_internal(
        self, op_type: str, inputs: Any, *arguments: Any, **options: Any
    ) -> Any:
        """Makes an operation, as TensorFlow's graphs do."""
        if op_type != "Const":
            return super()._create_op_internal(op_type, inputs, *arguments, **options)
        value = options["attrs"]["value"].SerializeToString(deterministic=True)
        if value not in self._constants:
            with self.control_dependencies(None):  # it is for those elsewhere too
                self._constants[value] = super()._create_op_internal(
                    op_type, inputs, *arguments, **options
                )
        return self._constants[value]


def as_function(
    graph: Any, inputs: Sequence[tf.Tensor], outputs: Sequence[tf.Tensor]
) -> Callable[..., Sequence[tf.Tensor]]:
    """Makes placeholders and tensors of a graph a function's arguments and results.

    The graph is what `trace` returned, and this function's from now on.
    """
    graph.inputs, graph.outputs = list(inputs), list(outputs)
    specs = tuple(tf.TensorSpec(x.shape, x.dtype) for x in inputs)
    graph.structured_input_signature = (specs, {})
    graph.structured_outputs = list(outputs)
    kind = function_type.from_structured_signature(
        graph.structured_input_signature,
        graph.structured_outputs,
        graph.function_captures.capture_types,
    )
    made: Callable[..., Sequence[tf.Tensor]] = (
        concrete_function.ConcreteFunction.from_func_graph(graph, kind, {})
    )
    return made


def hlo(function: Callable[..., Sequence[tf.Tensor]]) -> bytes:
    """Returns what XLA is to compile, of static shapes: an HLO module, serialized.

    It is asked for a CPU, whatever it is for: TensorFlow has no kernel for calls of
    StableHLO elsewhere, and what comes out is the same for all. A `tf.function` would
    be asked the same after it had traced this one.
    """
    lowered: bytes = compiler_ir.from_concrete_function(function)(
        stage="hlo_serialized", platform_name="CPU"
    )
    return lowered
