"""A mesh program: variables, and compiled functions that compute with them."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np
import tensorflow as tf

from mtmoe.engine.compile.kept_programs import lowered_program
from mtmoe.engine.compile.options import xla_options
from mtmoe.engine.compile.runner import Executable, compile_program
from mtmoe.engine.devices import device_mesh, sums_differ
from mtmoe.engine.rows import OwnRows, own_rows, whole_value, whole_with
from mtmoe.engine.slices import Array, Parts, Read, Slice, Variable, place
from mtmoe.engine.standalone.mesh_call import sharding
from mtmoe.errors import CheckpointError
from mtmoe.mesh.build import Build
from mtmoe.mesh.layout import Layout
from mtmoe.mesh.lowered import LoweredProgram, ProgramOptions
from mtmoe.mesh.precision import named_precision
from mtmoe.mesh.signature import Argument
from mtmoe.startup.memory import return_freed_memory


class MeshFunction:
    """One function of a mesh program; compiled at its first call."""

    def __init__(
        self,
        owner: MeshProgram,
        program: LoweredProgram,
        signature: Mapping[str, tf.TensorSpec],
    ):
        """Made by `MeshProgram.function`."""
        self._owner, self.program = owner, program
        self.signature = dict(signature)
        self._executable: Executable | None = None
        self._calls = 0

    @property
    def name(self) -> str:
        """What it is called in errors and profiles."""
        return self.program.signature.name

    @property
    def executable(self) -> Executable:
        """The compiled program; variables without a value are drawn meanwhile."""
        if self._executable is None:
            with ThreadPoolExecutor(max_workers=1) as thread:
                drawn = thread.submit(self._owner.initialize)
                self._executable = compile_program(
                    self.program, self._owner.mesh, xla_options(self._owner.mesh)
                )
            drawn.result()
            return_freed_memory()
        return self._executable

    @functools.cached_property
    def own_rows(self) -> OwnRows | None:
        """The rows of a batch this process's devices hold; None: there is one process.

        The first dimension of every feature must be the batch.
        """
        if jax.process_count() == 1:
            return None
        return own_rows(
            self.program.signature.features, self._batch_size, self._owner.mesh
        )

    @property
    def _batch_size(self) -> int:
        return int(next(iter(self.signature.values())).shape[0])

    def __call__(self, step: int, **features: Any) -> dict[str, jax.Array]:
        """Starts the function, and on CPUs waits for it.

        Args:
          step: the step number, key of the noise and of the schedules.
          **features: one array per entry of the signature, of its shape; one of several
            processes may give only its own rows (`own_rows`).

        Returns:
          The outputs by name, which accelerators may still be computing.

        Raises:
          ValueError: a feature is missing, unknown, or of another shape.
        """
        if features.keys() != self.signature.keys():
            raise ValueError(
                f"{self.name} takes {sorted(self.signature)}, got {sorted(features)}"
            )
        rows = self.own_rows
        if rows is not None:
            features = {
                name: whole_with(rows.rows, value, self._batch_size)
                if len(value) == len(rows.rows)
                else value
                for name, value in features.items()
            }
        for name, spec in self.signature.items():
            if not spec.shape.is_compatible_with(np.shape(features[name])):
                raise ValueError(
                    f"{self.name}: {name} must have shape {spec.shape}, got "
                    f"{np.shape(features[name])}"
                )
        if self._calls == 1:
            return_freed_memory()
        self._calls += 1
        arguments = self.program.signature.features
        laid_out = [self._owner.laid_out(a, features[a.name]) for a in arguments]
        outputs = self._owner.run(self.executable, step, laid_out)
        names = (output.name for output in self.program.signature.outputs)
        return dict(zip(names, outputs, strict=True))


class MeshProgram:
    """Variables on a mesh, and the functions that compute with them."""

    def __init__(
        self,
        layout: Layout | None = None,
        seed: int = 0,
        precision: str = "float32",
    ):
        """Creates a program without variables or functions.

        Args:
          layout: mesh and layout rules; one processor by default.
          seed: seed of initial values and noise.
          precision: name of the dtypes of activations and routers, one of those of
            `mtmoe.mesh.precision`; variables are kept in float32.

        Raises:
          LayoutError: there are not as many devices as the layout has processors.
          UnknownNameError: there is no precision of that name.
        """
        self.layout = layout or Layout()
        self.seed = seed
        self.precision = named_precision(precision)
        self.mesh = device_mesh(self.layout)
        self._variables: dict[str, Variable] = {}
        self._values: dict[str, jax.Array] = {}

    @property
    def _is_on_accelerators(self) -> bool:
        return bool(self.mesh.devices.flat[0].platform != "cpu")

    def function(
        self,
        build: Build,
        signature: Mapping[str, tf.TensorSpec],
        name: str,
        training: bool = False,
    ) -> MeshFunction:
        """Builds and lowers a function; variables it names are the program's.

        After `kept.cache.keep_compiled` it reads what an earlier process made of the
        same function.

        Args:
          build: called once with a `GraphContext` and a handle of each feature; returns
            the outputs by name and the assignments.
          signature: static shape and dtype of each feature.
          name: for errors and profiles.
          training: whether dropout and jitter are on.
        """
        options = ProgramOptions(
            self.layout,
            self.seed,
            training,
            self.precision,
            ordered_sums=sums_differ(self.mesh),
            joined_sums=not self._is_on_accelerators,
            exact_products=self._is_on_accelerators,
        )
        program = lowered_program(build, signature, name, options)
        trainable = set(program.signature.trainable)
        for argument in program.signature.variables:
            name, initial = argument.name, program.initial_values[argument.name]
            variable = Variable(argument, initial, name in trainable)
            self._variables.setdefault(name, variable)
        return MeshFunction(self, program, signature)

    def wait(self) -> None:
        """Waits until the variables have the values that the calls so far make."""
        jax.block_until_ready(list(self._values.values()))

    def run(
        self, executable: Executable, step: int, features: list[jax.Array]
    ) -> list[jax.Array]:
        """Runs a compiled function, and keeps the updated variables.

        On CPUs it waits for the end: the next call would hold temporary memory of its
        own, and copies of the variables that this one updates.
        """
        self.initialize()
        outputs, updated = executable(step, features, self._values)
        self._values |= updated
        if not self._is_on_accelerators:
            self.wait()
        return outputs

    def laid_out(self, argument: Argument, value: Any) -> jax.Array:
        """Puts a feature on the devices, to each its slice."""
        array = np.asarray(value, argument.dtype).reshape(argument.shape)
        return self._put(argument, lambda index: array[index])

    def variables(self) -> dict[str, Array]:
        """Returns the value of every variable, optimizer state included, by name.

        With several processes all must call this, and all get whole values.
        """
        self.initialize()
        return {name: whole_value(self._values[name]) for name in self._variables}

    def slices(self) -> list[Slice]:
        """Copies this process's part of the variables.

        Over all processes each element of a variable is there once.
        """
        self.initialize()
        held = [
            (variable.argument, shard)
            for name, variable in self._variables.items()
            for shard in self._values[name].addressable_shards
            if shard.replica_id == 0
        ]
        if self._is_on_accelerators:
            for _, shard in held:  # the copies run in parallel
                shard.data.copy_to_host_async()

        def copied(part: tuple[Argument, Any]) -> Slice:
            argument, shard = part
            begin, _ = place(shard.index, argument)
            return Slice(argument.name, argument.shape, begin, np.array(shard.data))

        with ThreadPoolExecutor(
            os.cpu_count()
        ) as threads:  # one thread does not fill the memory bus
            return list(threads.map(copied, held))

    def assign(self, values: Mapping[str, Array]) -> None:
        """Sets every variable to an array of its shape.

        Raises:
          CheckpointError: a name is missing or unknown, or a shape differs; nothing has
            been set then.
        """

        def read(name: str, begin: Sequence[int], size: Sequence[int]) -> Array:
            within = tuple(slice(b, b + s) for b, s in zip(begin, size, strict=True))
            # A copy: the caller's memory must not be donated.
            return np.array(values[name][within])

        self.fill({name: np.shape(value) for name, value in values.items()}, read)

    def fill(self, shapes: Mapping[str, Sequence[int]], read: Read) -> None:
        """Sets every variable to what a function gives for this process's slices.

        Args:
          shapes: of all variables that `read` knows.
          read: takes a variable's name, the start of a slice and its size; returns the
            slice, in new memory.

        Raises:
          CheckpointError: as by `assign`.
        """
        missing = sorted(self._variables.keys() - shapes.keys())
        unknown = sorted(shapes.keys() - self._variables.keys())
        if missing or unknown:
            raise CheckpointError(
                "the variables are not those of this model: "
                f"{len(missing)} missing {missing[:3]}, "
                f"{len(unknown)} unknown {unknown[:3]}"
            )
        for name, variable in self._variables.items():
            if variable.argument.shape != tuple(shapes[name]):
                raise CheckpointError(
                    f"variable {name} has shape {variable.argument.shape} in this "
                    f"model, {tuple(shapes[name])} in the values given"
                )
        for name, variable in self._variables.items():
            argument = variable.argument
            self._values[name] = self._put(argument, Parts(argument, read))

    def variable_names(self) -> tuple[str, ...]:
        """Returns the names of all variables, in the order of creation."""
        return tuple(self._variables)

    def parameter_names(self) -> tuple[str, ...]:
        """Returns the names of the trainable variables, in the order of creation."""
        return tuple(n for n, variable in self._variables.items() if variable.trainable)

    def parameter_count(self) -> int:
        """Returns the number of trainable parameters."""
        return sum(
            int(np.prod(self._variables[name].argument.shape))
            for name in self.parameter_names()
        )

    def initialize(self) -> None:
        """Draws the variables that have no value yet, each process its own slices."""
        for name, variable in self._variables.items():
            if name in self._values:
                continue
            argument = variable.argument

            self._values[name] = self._put(argument, Parts(argument, variable.draw))

    def _put(self, argument: Argument, part: Any) -> jax.Array:
        return jax.make_array_from_callback(
            argument.shape, sharding(argument, self.mesh), part
        )
