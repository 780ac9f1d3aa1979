"""Runs a lowered program by PJRT alone: no JAX primitive, no `jit`, no `shard_map`.

A second opinion on `compile.runner` of the engine. Whole NumPy arrays go in and come
out; slices are cut and joined here, by the signature alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.extend.backend import get_backend, get_compile_options
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxlib import _jax  # type: ignore[attr-defined]  # for DeviceList alone

from mtmoe.mesh.signature import Argument, Program

Array = np.ndarray[Any, np.dtype[Any]]


class DirectExecutable:
    """A program compiled by PJRT for the devices of a mesh, in one process."""

    def __init__(
        self,
        program: Program,
        mesh: Mesh,
        options: Mapping[str, Any] | None = None,
    ):
        """Compiles the program as it is, one partition a processor.

        Args:
          program: what to compile.
          mesh: the devices, axes named as in the program's signature.
          options: XLA's, by name.
        """
        self._signature, self._mesh = program.signature, mesh
        devices = tuple(mesh.devices.flat)
        compile_options = get_compile_options(
            num_replicas=1,
            num_partitions=len(devices),
            device_assignment=np.array([[device.id for device in devices]]),
            env_options_overrides=dict(options or {}),
        )
        compile_options.executable_build_options.use_spmd_partitioning = True
        self._executable = get_backend().compile_and_load(
            program.stablehlo, _jax.DeviceList(devices), compile_options
        )

    def __call__(
        self,
        step: int,
        features: Sequence[Array],
        variables: Mapping[str, Array],
    ) -> tuple[list[Array], dict[str, Array]]:
        """Runs the program.

        Args:
          step: the step number.
          features: one whole array a feature of the signature, in order.
          variables: whole, by name.

        Returns:
          The outputs in order, and the new values of the updated variables, whole.
        """
        signature, count = self._signature, self._mesh.size
        arguments = [[np.int32(step)] * count, list(np.arange(count, dtype=np.int32))]
        for argument, value in zip(signature.features, features, strict=True):
            arguments.append(self._slices(argument, value))
        for argument in signature.variables:
            arguments.append(self._slices(argument, variables[argument.name]))
        results = self._executable.execute_sharded(
            [self._placed(slices) for slices in arguments]
        ).disassemble_into_single_device_arrays()
        values = [[np.asarray(part) for part in parts] for parts in results]
        outputs = [parts[0] for parts in values[: len(signature.outputs)]]
        by_name = {argument.name: argument for argument in signature.variables}
        updated = {
            name: self._joined(by_name[name], parts)
            for name, parts in zip(
                signature.updated, values[len(signature.outputs) :], strict=True
            )
        }
        return outputs, updated

    def _index(self, argument: Argument, processor: int) -> tuple[slice, ...]:
        """Where a processor's slice lies in the whole array."""
        places = np.unravel_index(processor, self._mesh.devices.shape)
        coordinates = dict(zip(self._mesh.axis_names, map(int, places), strict=True))
        index = []
        for size, axis in zip(argument.shape, argument.split, strict=True):
            part = size if axis is None else size // self._mesh.shape[axis]
            begin = 0 if axis is None else part * coordinates[axis]
            index.append(slice(begin, begin + part))
        return tuple(index)

    def _slices(self, argument: Argument, value: Array) -> list[Array]:
        whole = np.asarray(value, argument.dtype).reshape(argument.shape)
        return [whole[self._index(argument, p)] for p in range(self._mesh.size)]

    def _joined(self, argument: Argument, slices: Sequence[Array]) -> Array:
        whole = np.empty(argument.shape, argument.dtype)
        for processor, part in enumerate(slices):
            whole[self._index(argument, processor)] = part
        return whole

    def _placed(self, slices: Sequence[Array]) -> jax.Array:
        """An array of PJRT's, a slice a device; that they differ is not its concern."""
        return jax.make_array_from_single_device_arrays(
            np.shape(slices[0]),
            NamedSharding(self._mesh, PartitionSpec()),
            [
                jax.device_put(part, device)
                for part, device in zip(slices, self._mesh.devices.flat, strict=True)
            ],
        )
