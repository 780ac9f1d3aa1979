"""A mesh program: one set of variables, and functions compiled as one `tf.function`.

The graph of a function is built and lowered once inside `tf.compat.v1.wrap_function`:
Mesh TensorFlow speaks TensorFlow 1, where only what is fetched runs. What the step
needs is pruned out of it and wrapped in an outer `tf.function`, compiled by XLA where
the mesh has one processor (one XLA computation cannot span several host devices).

With several processors Mesh TensorFlow keeps each variable twice: a master, which is
initialised and saved, and one slice a processor, which the step reads and writes. The
copies between them happen here, whenever values go in or out.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.ops.resource_variable_ops import ResourceVariable

from mtmoe.errors import CheckpointError
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.compilation import configure_compilation, without_garbage_collection
from mtmoe.mesh.context import GraphContext
from mtmoe.mesh.devices import device_names
from mtmoe.mesh.layout import Layout
from mtmoe.mesh.memory import keep_freed_memory
from mtmoe.mesh.placement import PlacementMeshImpl
from mtmoe.mesh.precision import named_precision

Features = dict[str, tf.Tensor]
Built = tuple[dict[str, mtf.Tensor], list[mtf.Operation]]
Build = Callable[[GraphContext, Features], Built]

_SLICE_NAME = re.compile(r"(?P<master>.*)_slice_(?P<processor>\d+)$")


@dataclasses.dataclass(frozen=True)
class MeshFunction:
    """One compiled function of a mesh program.

    Attributes:
      name: what it is called in errors and profiles.
      signature: the features it takes, by name.
      counters: what the lowering counted: (name, amount), output sizes and collectives.
      operations: TensorFlow operations in the lowered graph.
      build_seconds: time to build and lower the graph, compilation excluded.
    """

    name: str
    signature: Mapping[str, tf.TensorSpec]
    counters: tuple[tuple[str, int], ...]
    operations: int
    build_seconds: float
    _run: Callable[..., dict[str, tf.Tensor]]

    def __call__(self, step: int, **features: Any) -> dict[str, tf.Tensor]:
        """Runs the function once.

        Args:
          step: the step number, key of the noise and of the schedules.
          **features: one array per entry of the signature, of exactly its shape.

        Returns:
          The outputs by name.

        Raises:
          ValueError: a feature is missing, unknown, or of another shape.
        """
        if features.keys() != self.signature.keys():
            raise ValueError(
                f"{self.name} takes {sorted(self.signature)}, got {sorted(features)}"
            )
        tensors = [tf.constant(step, tf.int32)]
        for name, spec in self.signature.items():
            tensor = tf.convert_to_tensor(features[name], spec.dtype)
            if not spec.shape.is_compatible_with(tensor.shape):
                raise ValueError(
                    f"{self.name}: {name} must have shape {spec.shape}, got "
                    f"{tensor.shape}"
                )
            tensors.append(tensor)
        return self._run(*tensors)


class MeshProgram:
    """Variables on a mesh, and the functions that compute with them."""

    def __init__(
        self,
        layout: Layout | None = None,
        seed: int = 0,
        jit_compile: bool = True,
        precision: str = "float32",
    ):
        """Creates a program without variables or functions.

        Args:
          layout: mesh and layout rules; one processor by default.
          seed: seed of initial values and noise.
          jit_compile: compile with XLA where the mesh has one processor.
          precision: name of the dtypes of activations and routers, one of those of
            `mtmoe.mesh.precision`; variables are kept in float32.

        Raises:
          LayoutError: the devices the layout wants cannot be had.
          UnknownNameError: there is no precision of that name.
        """
        self.layout = layout or Layout()
        self.seed = seed
        self.jit_compile = jit_compile and self.layout.size == 1
        if self.jit_compile:
            configure_compilation()
            keep_freed_memory()
        self.precision = named_precision(precision)
        self._devices = device_names(self.layout)
        self._stored: dict[str, ResourceVariable] = {}
        self._masters: dict[str, ResourceVariable] = {}
        self._trainable: dict[str, None] = {}  # a set in the order of creation
        self._laid_out: dict[str, PlacementMeshImpl.LaidOutVariable] = {}

    def function(
        self,
        build: Build,
        signature: Mapping[str, tf.TensorSpec],
        name: str,
        training: bool = False,
    ) -> MeshFunction:
        """Builds, lowers and wraps a function; variables it names are created if new.

        Args:
          build: called once with a `GraphContext` and the features as `tf.Tensor`;
            returns the outputs by name and the assignments that run before them.
          signature: static shape and dtype of each feature.
          name: what to call it.
          training: whether dropout and jitter are on.
        """
        started = time.monotonic()
        self._slices_to_masters()
        specs = [tf.TensorSpec([], tf.int32)] + list(signature.values())
        fetched: dict[str, Any] = {}

        def trace(step: tf.Tensor, *features: tf.Tensor) -> list[tf.Tensor]:
            with tf.variable_creator_scope(self._create_variable):
                graph = mtf.Graph()
                mesh = mtf.Mesh(graph, "mesh")
                context = GraphContext(
                    mesh,
                    self.seed,
                    step,
                    training,
                    activation_dtype=self.precision.activation_dtype,
                    router_dtype=self.precision.router_dtype,
                    layout=self.layout,
                    compiled=self.jit_compile,
                )
                outputs, updates = build(
                    context, dict(zip(signature, features, strict=True))
                )
                if not outputs:
                    raise ValueError(f"{name} has no outputs: nothing would run it")
                lowering = self._lower(graph, mesh)
            assigned = [lowering.lowered_operation(update) for update in updates]
            with tf.control_dependencies(assigned):
                exported = {
                    key: tf.identity(lowering.export_to_tf_tensor(value))
                    for key, value in outputs.items()
                }
            fetched.update(
                names=list(exported),
                masters=[variable.name for variable in graph.all_variables],
                trainable=[variable.name for variable in graph.trainable_variables],
                laid_out={v.name: x for v, x in lowering.variables.items()},
                counters=tuple(lowering.counters),
            )
            return list(exported.values())

        with without_garbage_collection():
            wrapped = tf.compat.v1.wrap_function(trace, specs)
        for variable in fetched["masters"]:
            self._masters[variable] = self._stored[variable]
        self._trainable.update(dict.fromkeys(fetched["trainable"]))
        self._laid_out.update(fetched["laid_out"])
        self._masters_to_slices()

        @tf.function(jit_compile=self.jit_compile, autograph=False)
        def run(*inputs: tf.Tensor) -> dict[str, tf.Tensor]:
            return dict(zip(fetched["names"], wrapped(*inputs), strict=True))

        return MeshFunction(
            name=name,
            signature=dict(signature),
            counters=fetched["counters"],
            operations=len(wrapped.graph.get_operations()),
            build_seconds=time.monotonic() - started,
            _run=run,
        )

    def variables(self) -> dict[str, np.ndarray]:
        """Returns the value of every variable, optimizer state included, by name."""
        self._slices_to_masters()
        return {name: master.numpy() for name, master in self._masters.items()}

    def assign(self, values: Mapping[str, np.ndarray]) -> None:
        """Sets every variable.

        Args:
          values: one array per variable, of its shape. Names the program does not
            have are refused; pass just what it needs.

        Raises:
          CheckpointError: a name is missing or unknown, or a shape differs; nothing has
            been set then.
        """
        missing = sorted(self._masters.keys() - values.keys())
        unknown = sorted(values.keys() - self._masters.keys())
        if missing or unknown:
            raise CheckpointError(
                "the variables are not those of this model: "
                f"{len(missing)} missing {missing[:3]}, "
                f"{len(unknown)} unknown {unknown[:3]}"
            )
        for name, master in self._masters.items():
            if master.shape != np.shape(values[name]):
                raise CheckpointError(
                    f"variable {name} has shape {tuple(master.shape)} in this model, "
                    f"{np.shape(values[name])} in the values given"
                )
        for name, master in self._masters.items():
            master.assign(values[name])
        self._masters_to_slices()

    def variable_names(self) -> tuple[str, ...]:
        """Returns the names of all variables, in the order of creation."""
        return tuple(self._masters)

    def parameter_names(self) -> tuple[str, ...]:
        """Returns the names of the trainable variables, in the order of creation."""
        return tuple(self._trainable)

    def parameter_count(self) -> int:
        """Returns the number of trainable parameters."""
        return sum(int(np.prod(self._masters[name].shape)) for name in self._trainable)

    def _lower(self, graph: mtf.Graph, mesh: mtf.Mesh) -> mtf.Lowering:
        mesh_impl = PlacementMeshImpl(
            self.layout.mesh_dimensions, self.layout.rules, self._devices
        )
        # Stacking would store several variables as one under another name.
        return mtf.Lowering(graph, {mesh: mesh_impl}, autostack=False)

    def _create_variable(
        self, next_creator: Callable[..., Any], **kwargs: Any
    ) -> ResourceVariable:
        """Makes a variable outside the graph, once per name, and hands it out after."""
        del next_creator  # it would make a variable of the graph, not of the program
        name = kwargs["name"]
        if name not in self._stored:
            is_slice = _SLICE_NAME.match(name)
            if is_slice and is_slice["master"] in self._stored:
                value = functools.partial(tf.zeros, kwargs["shape"], kwargs["dtype"])
                device = self._devices[int(is_slice["processor"])]
            else:
                value, device = kwargs["initial_value"], "/device:CPU:0"
            with tf.init_scope(), tf.device(device):
                self._stored[name] = ResourceVariable(
                    value(),
                    name=name,
                    trainable=False,
                )
        return self._stored[name]

    def _masters_to_slices(self) -> None:
        for variable in self._laid_out.values():
            variable.cut_master()

    def _slices_to_masters(self) -> None:
        for variable in self._laid_out.values():
            variable.join_slices()
