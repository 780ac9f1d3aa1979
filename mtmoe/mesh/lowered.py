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
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from jaxlib import _jax  # type: ignore[attr-defined]  # for hlo_to_stablehlo alone

from mtmoe.mesh import graph_function
from mtmoe.mesh.build import Build, named_features
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext, InitialValue
from mtmoe.mesh.fit import check_fit
from mtmoe.mesh.garbage import without_garbage_collection
from mtmoe.mesh.initializers import WholeInitializer
from mtmoe.mesh.layout import Layout
from mtmoe.mesh.precision import Precision
from mtmoe.mesh.products import exact_products
from mtmoe.mesh.spmd import SpmdMeshImpl, VariableSlice


@dataclasses.dataclass(frozen=True)
class Argument:
    """An array that goes into a program or comes out of it.

    Attributes:
      name: its name.
      dimensions: name of each dimension.
      shape: its size, of the whole array.
      dtype: NumPy's name of the dtype.
      split: for each dimension the mesh dimension that splits it, or None.
    """

    name: str
    dimensions: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    split: tuple[str | None, ...]

    @classmethod
    def of(
        cls, name: str, shape: mtf.Shape, dtype: tf.DType, layout: Layout
    ) -> Argument:
        """Describes a tensor of the mesh."""
        return cls(
            name=name,
            dimensions=tuple(dimension.name for dimension in shape.dims),
            shape=tuple(dimension.size for dimension in shape.dims),
            dtype=dtype.as_numpy_dtype.__name__,
            split=layout.split_axes(shape),
        )


@dataclasses.dataclass(frozen=True)
class Signature:
    """What a program takes and gives; plain data.

    Attributes:
      name: the function's name.
      mesh: name and size of each mesh dimension; processors are numbered in row-major
        order.
      features: what it is called with and uses, in order; a whole array may be given in
        another shape that holds the same numbers in the same order.
      variables: in order; each one an argument.
      trainable: names of the variables that are parameters.
      updated: names of the variables whose new values are results, in order.
      outputs: the other results, in order, whole on every processor.
      counters: what the lowering counted: (name, amount).
    """

    name: str
    mesh: tuple[tuple[str, int], ...]
    features: tuple[Argument, ...]
    variables: tuple[Argument, ...]
    trainable: tuple[str, ...]
    updated: tuple[str, ...]
    outputs: tuple[Argument, ...]
    counters: tuple[tuple[str, int], ...]

    def to_json(self) -> str:
        """Returns the signature as JSON."""
        return json.dumps(dataclasses.asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> Signature:
        """Reads what `to_json` wrote."""
        content = json.loads(text)
        for name in ("features", "variables", "outputs"):
            content[name] = tuple(_argument(fields) for fields in content[name])
        for name in ("mesh", "counters"):
            content[name] = tuple(tuple(pair) for pair in content[name])
        for name in ("trainable", "updated"):
            content[name] = tuple(content[name])
        return cls(**content)


def _argument(fields: dict[str, Any]) -> Argument:
    for name in ("dimensions", "shape", "split"):
        fields[name] = tuple(fields[name])
    return Argument(**fields)


@dataclasses.dataclass(frozen=True)
class LoweredProgram:
    """A function as StableHLO.

    Attributes:
      stablehlo: the module, MLIR bytecode or text; its `main` takes the step and the
        processor's number, int32 scalars, then one slice a feature and a variable, and
        gives the outputs, then one slice an updated variable.
      signature: what these are.
      initial_values: of the variables, by name.
      operations: TensorFlow operations in the lowered graph.
      seconds: time to build and lower it.
    """

    stablehlo: bytes
    signature: Signature
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
) -> LoweredProgram:
    """Builds and lowers a function.

    Args:
      build: called once with a `GraphContext` and a handle of each feature; returns the
        outputs by name and the assignments that are to be made.
      signature: static shape and dtype of each feature.
      name: what to call the function.
      options: what it is built for.

    Raises:
      LayoutError: the layout does not fit the function.
      ValueError: it has no outputs.
    """
    with without_garbage_collection(), exact_products(options.exact_products):
        program = _lower(build, signature, name, options)
        # The graph goes round in circles, and would stay while XLA compiles. All of it
        # is young as long as there was no collection, so old objects need no look.
        gc.collect(0)
    return program


def _lower(
    build: Build,
    signature: Mapping[str, tf.TensorSpec],
    name: str,
    options: ProgramOptions,
) -> LoweredProgram:
    started = time.monotonic()
    trace = _Trace(build, signature, name, options)
    scalar = tf.TensorSpec([], tf.int32)
    graph = graph_function.trace(trace, [scalar, scalar])
    inputs = [*graph.inputs, *trace.arguments()]
    outputs = [*graph.outputs, *trace.updated_values()]
    hlo = graph_function.hlo(graph_function.as_function(graph, inputs, outputs))
    stablehlo = _jax.mlir.hlo_to_stablehlo(hlo)
    return LoweredProgram(
        stablehlo=stablehlo,
        signature=trace.signature(),
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
                Argument.of(name, shape, self._features[name].dtype, layout)
                for name, shape in shapes.items()
            ),
            variables=tuple(
                Argument.of(
                    v.variable.name, v.variable.shape, v.variable.slice_dtype, layout
                )
                for v in self._variables()
            ),
            trainable=tuple(v.name for v in self._graph.trainable_variables),
            updated=tuple(
                v.variable.name for v in self._variables() if v.assigned is not None
            ),
            outputs=tuple(
                Argument.of(name, value.shape, value.dtype, Layout())
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
