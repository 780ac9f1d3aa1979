"""A model's graph without its variables: names, shapes and products, counted.

The graph of named dimensions is built and never lowered. Variables are names and shapes
alone, so a model of a trillion parameters costs seconds and no memory.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.mesh.layout import Layout
from mtmoe.mesh.precision import named_precision
from mtmoe.model.features import Tokens
from mtmoe.model.forward import score
from mtmoe.model.parts import Model


@dataclasses.dataclass(frozen=True)
class ModelGraph:
    """What a model's forward pass is made of.

    Attributes:
      variables: the shape of every variable, by name, in the order of creation.
      flops: floating-point operations of its products, 2 per product, as they are
        computed: experts work on all slots, filled or not.
      operations: operations of the graph.
      build_seconds: time to build it.
    """

    variables: Mapping[str, mtf.Shape]
    flops: int
    operations: int
    build_seconds: float

    @property
    def num_parameters(self) -> int:
        """Elements of all variables."""
        return sum(shape.size for shape in self.variables.values())


@dataclasses.dataclass(frozen=True)
class _NamedVariable:
    """What Mesh TensorFlow asks of a variable before it lowers a graph."""

    name: str


def build_graph(
    model: Model,
    batch_size: int = 1,
    input_length: int = 1,
    target_length: int = 1,
    training: bool = False,
) -> ModelGraph:
    """Builds the forward pass of `model` and allocates nothing.

    Args:
      model: the model.
      batch_size: examples.
      input_length: encoder positions; a decoder alone has none.
      target_length: decoder positions; of an encoder alone there are none.
      training: whether noise is on, and which capacity experts have.
    """
    started = time.monotonic()

    def build(context: GraphContext) -> None:
        inputs = None
        if model.encoder is not None:
            inputs = _tokens(context, batch_size, input_length)
        length = target_length if model.decoder is not None else input_length
        score(context, model, inputs, _tokens(context, batch_size, length))

    graph = unlowered_graph(build, training)
    return ModelGraph(
        variables={v.name: v.shape for v in graph.all_variables},
        flops=sum(map(_flops, graph.operations)),
        operations=len(graph.operations),
        build_seconds=time.monotonic() - started,
    )


def unlowered_graph(
    build: Callable[[GraphContext], object],
    training: bool = False,
    layout: Layout = Layout(),  # noqa: B008  (frozen)
    precision: str = "float32",
) -> mtf.Graph:
    """Returns the graph that a function builds; nothing is allocated or lowered.

    Args:
      build: called once with the context to build in.
      training: whether noise is on, and which capacity experts have.
      layout: the mesh that the graph is for.
      precision: name of the dtypes of activations and routers.
    """
    dtypes = named_precision(precision)
    with tf.Graph().as_default(), tf.variable_creator_scope(_name_only):
        graph = mtf.Graph()
        build(
            GraphContext(
                mesh=mtf.Mesh(graph, "mesh"),
                seed=0,
                step=tf.constant(0),
                training=training,
                activation_dtype=dtypes.activation_dtype,
                router_dtype=dtypes.router_dtype,
                layout=layout,
            )
        )
    return graph


def _name_only(next_creator: Any, **kwargs: Any) -> _NamedVariable:
    del next_creator
    return _NamedVariable(f"{kwargs['name']}:0")


def _tokens(context: GraphContext, batch_size: int, length: int) -> Tokens:
    shape = mtf.Shape(
        [mtf.Dimension("batch", batch_size), mtf.Dimension("length", length)]
    )
    return Tokens(
        mtf.ones(context.mesh, shape, tf.int32),
        mtf.ones(context.mesh, shape, tf.float32),
    )


def _flops(operation: mtf.Operation) -> int:
    """2 per product of an einsum that sums; element-wise products are not counted."""
    if not isinstance(operation, mtf.EinsumOperation):
        return 0
    dims = {dim for x in operation.inputs for dim in x.shape.dims}
    if dims == set(operation.outputs[0].shape.dims):
        return 0
    return 2 * math.prod(dim.size for dim in dims)
