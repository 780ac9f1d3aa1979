"""A function of a mesh program, lowered to StableHLO for one processor.

`lower` builds the mesh graph, lowers it to a TensorFlow graph with one processor's
slices, cuts out of that what the results need, and asks TensorFlow for the StableHLO.
What comes out is a pure function

    (step, processor, features, variables) -> (outputs, variables after)

and its signature, plain data that say what each argument is and how it lies on the
mesh. Neither needs TensorFlow any more.
"""

from __future__ import annotations

import dataclasses
import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from jaxlib import _jax  # type: ignore[attr-defined]  # for hlo_to_stablehlo alone

from mtmoe.mesh import graph_function
from mtmoe.mesh.build import Build
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext, InitialValue
from mtmoe.mesh.features import named_features
from mtmoe.mesh.fit import check_fit
from mtmoe.mesh.initializers import WholeInitializer
from mtmoe.mesh.layout import Layout
from mtmoe.mesh.precision import Precision
from mtmoe.mesh.products import exact_products
from mtmoe.mesh.signature import Argument, Program, Signature
from mtmoe.mesh.spmd import SpmdMeshImpl, VariableSlice
from mtmoe.startup.garbage import without_garbage_collection


@dataclasses.dataclass(frozen=True)
class LoweredProgram(Program):
    """A program, its variables' initial values by name, and what lowering it took."""

    initial_values: Mapping[str, InitialValue]
    operations: int
    seconds: float


@dataclasses.dataclass(frozen=True)
class ProgramOptions:
    """What a function is built for.

    Attributes:
      layout: mesh and layout rules.
      seed: seed of initial values and noise.
      training: whether dropout and jitter are on.
      precision: dtypes of activations and routers.
      ordered_sums: sum over processors in their order, whatever transports it.
      joined_sums: send small sums over processors as one array, as pays on CPUs.
      exact_products: ask for products of whole float32 factors, which TPUs and GPUs
        round by default; a CPU does not, and is faster if it is not asked.
    """

    layout: Layout
    seed: int
    training: bool
    precision: Precision
    ordered_sums: bool = False
    joined_sums: bool = False
    exact_products: bool = True


def lower(
    build: Build,
    signature: Mapping[str, tf.TensorSpec],
    name: str,
    options: ProgramOptions,
    traced: Callable[[Signature], None] = lambda signature: None,
) -> LoweredProgram:
    """Builds and lowers a function.

    Args:
      build: called once with a `GraphContext` and a handle of each feature; returns the
        outputs by name and the assignments that are to be made.
      signature: static shape and dtype of each feature.
      name: what to call the function.
      options: what it is built for.
      traced: is told half-way what the program takes and gives.

    Raises:
      LayoutError: the layout does not fit the function.
      ValueError: it has no outputs.
    """
    with without_garbage_collection(), exact_products(options.exact_products):
        program = _lower(_Trace(build, signature, name, options), traced)
        # The graph goes round in circles, and would stay while XLA compiles. All of it
        # is young as long as there was no collection, so old objects need no look.
        gc.collect(0)
    return program


def _lower(trace: _Trace, traced: Callable[[Signature], None]) -> LoweredProgram:
    started = time.monotonic()
    scalar = tf.TensorSpec([], tf.int32)
    graph = graph_function.trace(trace, [scalar, scalar])
    signature = trace.signature()
    traced(signature)
    inputs = [*graph.inputs, *trace.arguments()]
    outputs = [*graph.outputs, *trace.updated_values()]
    hlo = graph_function.hlo(graph_function.as_function(graph, inputs, outputs))
    return LoweredProgram(
        stablehlo=_jax.mlir.hlo_to_stablehlo(hlo),
        signature=signature,
        initial_values=dict(trace.context.initial_values),
        operations=len(graph.get_operations()),
        seconds=time.monotonic() - started,
    )


class _Trace:
    """Called once to build the graph; holds what it has found then."""

    def __init__(
        self,
        build: Build,
        signature: Mapping[str, tf.TensorSpec],
        name: str,
        options: ProgramOptions,
    ):
        self._build, self._features = build, named_features(signature)
        self._name, self._options = name, options

    def __call__(self, step: tf.Tensor, processor: tf.Tensor) -> list[tf.Tensor]:
        layout = self._options.layout
        with tf.variable_creator_scope(self._no_variable):
            self._graph = mtf.Graph()
            mesh = mtf.Mesh(self._graph, "mesh")
            self.context = GraphContext(
                mesh,
                self._options.seed,
                step,
                self._options.training,
                activation_dtype=self._options.precision.activation_dtype,
                router_dtype=self._options.precision.router_dtype,
                layout=layout,
            )
            self._outputs, _ = self._build(self.context, self._features)
            if not self._outputs:
                raise ValueError(f"{self._name} has no outputs: nothing would run it")
            check_fit(layout, self._graph, self._name)
            self._impl = SpmdMeshImpl(
                layout.mesh_dimensions,
                layout.rules,
                processor,
                self._options.ordered_sums,
                self._options.joined_sums,
            )
            # Stacking would store several variables as one under another name.
            self._lowering = mtf.Lowering(
                self._graph, {mesh: self._impl}, autostack=False
            )
        return [
            tf.identity(self._lowering.export_to_tf_tensor(value))
            for value in self._outputs.values()
        ]

    def arguments(self) -> Iterator[tf.Tensor]:
        """The placeholders of the features and the variables, in order."""
        yield from self.context.arguments.placeholders.values()
        for variable in self._variables():
            yield variable.argument

    def updated_values(self) -> Iterator[tf.Tensor]:
        """The new values of the variables that are assigned to, in order."""
        for variable in self._variables():
            if variable.assigned is not None:
                yield variable.assigned

    def signature(self) -> Signature:
        """Describes the program."""
        layout, shapes = self._options.layout, self.context.arguments.shapes
        return Signature(
            name=self._name,
            mesh=tuple((d.name, d.size) for d in layout.mesh_dimensions.dims),
            features=tuple(
                _argument(name, shape, self._features[name].dtype, layout)
                for name, shape in shapes.items()
            ),
            variables=tuple(
                _argument(
                    v.variable.name, v.variable.shape, v.variable.slice_dtype, layout
                )
                for v in self._variables()
            ),
            trainable=tuple(v.name for v in self._graph.trainable_variables),
            updated=tuple(
                v.variable.name for v in self._variables() if v.assigned is not None
            ),
            outputs=tuple(
                _argument(name, value.shape, value.dtype, Layout())
                for name, value in self._outputs.items()
            ),
            counters=tuple(self._lowering.counters),
        )

    def _no_variable(self, next_creator: Any, **arguments: Any) -> Any:
        """Stands for the TensorFlow variable that Mesh TensorFlow asks for."""
        del next_creator
        name = arguments["name"]
        self.context.initial_values.setdefault(
            name, InitialValue(_DrawnByTensorFlow(arguments["initial_value"]), (0, 0))
        )
        return _Named(name)

    def _variables(self) -> list[VariableSlice]:
        return list(self._lowering.variables.values())


def _argument(name: str, shape: mtf.Shape, dtype: tf.DType, layout: Layout) -> Argument:
    """Describes a tensor of the mesh."""
    return Argument(
        name=name,
        dimensions=tuple(dimension.name for dimension in shape.dims),
        shape=tuple(dimension.size for dimension in shape.dims),
        dtype=dtype.as_numpy_dtype.__name__,
        split=layout.split_axes(shape),
    )


@dataclasses.dataclass(frozen=True)
class _DrawnByTensorFlow(WholeInitializer):
    """The initial value of a variable that layers of Mesh TensorFlow's own make."""

    draw: Callable[[], tf.Tensor]

    def whole(
        self, shape: Sequence[int], key: tuple[int, int]
    ) -> npt.NDArray[np.float32]:
        """Draws it; the key has no say."""
        with tf.init_scope():
            return np.asarray(self.draw(), np.float32)


@dataclasses.dataclass(frozen=True)
class _Named:
    """All that Mesh TensorFlow wants to know of a variable."""

    full_name: str
    device: str = ""

    @property
    def name(self) -> str:
        """As TensorFlow names the output of an operation."""
        return f"{self.full_name}:0"
