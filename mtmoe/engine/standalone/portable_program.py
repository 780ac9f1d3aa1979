"""An exported program, compiled and run by whatever JAX is installed.

JAX 0.4.35 and later will do.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import mesh_call  # type: ignore[import-not-found]
import numpy as np
from initial_values import draw  # type: ignore[import-not-found]
from jax.sharding import Mesh, NamedSharding

FORMAT = 1
PROGRAM = "program.stablehlo.gz"
DESCRIPTION = "program.json"
MANIFEST = "MANIFEST.json"


class ProgramError(Exception):
    """A folder is no whole exported program, or cannot run here."""


class PortableProgram:
    """A folder that `mtmoe program export` wrote.

    Attributes:
      content: what `program.json` holds.
      signature: `content["signature"]` as objects.
      artifact: the portable StableHLO.
      mesh: the devices it runs on.
      values: the variables by name, as they are after the last step.
    """

    def __init__(self, folder: Path):
        """Reads the program and checks its files.

        Raises:
          ProgramError: a file is missing or damaged, or of a later format.
        """
        self.folder = folder
        check_files(folder)
        self.content: Mapping[str, Any] = json.loads((folder / DESCRIPTION).read_text())
        if self.content["format"] != FORMAT:
            raise ProgramError(
                f"{folder} has format {self.content['format']}, this script reads "
                f"{FORMAT}; use the run_program.py next to the program"
            )
        self.artifact = gzip.decompress((folder / PROGRAM).read_bytes())
        self.signature = json.loads(
            json.dumps(self.content["signature"]),
            object_hook=lambda fields: SimpleNamespace(**fields),
        )
        self._updated, self._kept = mesh_call.groups(self.signature)
        self.mesh = self._device_mesh()
        self.values: dict[str, Any] = {}

    def compile(self) -> float:
        """Compiles the program; returns the seconds it took."""
        started = time.perf_counter()
        lowered = mesh_call.lower(
            self.artifact, self.signature, self.mesh, is_artifact=True
        )
        try:
            self.compiled = lowered.compile(compiler_options=self._options())
        except RuntimeError as error:
            self.compiled = lowered.compile()  # raises again if that was not it
            reason = str(error).strip().splitlines()[0]
            print(f"note: compiled without options that XLA does not take: {reason}")
        return time.perf_counter() - started

    def initialize(self) -> float:
        """Draws every variable; returns the seconds it took."""
        started = time.perf_counter()
        for argument in self.signature.variables:
            self.values[argument.name] = self._drawn(argument)
        jax.block_until_ready(self.values)
        return time.perf_counter() - started

    def load_batch(self, number: int) -> list[Any]:
        """Puts a batch on the devices; after the last comes the first again."""
        batches = self.folder / "batches" / str(number % self.content["num_batches"])
        return [
            self._put(
                np.load(batches / f"{a.name}.npy"), mesh_call.sharding(a, self.mesh)
            )
            for a in self.signature.features
        ]

    def step(self, number: int, batch: Sequence[Any]) -> dict[str, Any]:
        """Starts a step; returns its outputs by name, which may still be computed."""
        outputs, new = self.compiled(
            np.int32(number),
            mesh_call.processor_numbers(self.mesh),
            list(batch),
            [self.values[a.name] for a in self._updated],
            [self.values[a.name] for a in self._kept],
        )
        names = [a.name for a in self._updated]
        self.values.update(zip(names, new, strict=True))
        names = [a.name for a in self.signature.outputs]
        return dict(zip(names, outputs, strict=True))

    def _options(self) -> dict[str, Any]:
        """Options for these devices, by platform or by what they call themselves."""
        device = self.mesh.devices.flat[0]
        options: Mapping[str, Mapping[str, Any]] = self.content["xla_options"]
        platform = {"cuda": "gpu", "rocm": "gpu"}.get(device.platform, device.platform)
        return dict(options.get(platform, {})) | dict(
            options.get(device.device_kind, {})
        )

    def _device_mesh(self) -> Mesh:
        axes = self.signature.mesh or [["processor", 1]]
        sizes = [size for _, size in axes]
        count = int(np.prod(sizes))
        if jax.device_count() < count:
            raise ProgramError(
                f"the program is for {count} devices, here are {jax.device_count()} "
                f"({jax.devices()[0].device_kind}); a CPU is divided into as many as "
                f"wanted: --devices={count}"
            )
        devices = np.array(jax.devices()[:count]).reshape(sizes)
        return Mesh(devices, [name for name, _ in axes])

    def _drawn(self, argument: Any) -> Any:
        shape = tuple(argument.shape)
        entry = self.content["variables"][argument.name]

        def part(index: Any) -> Any:
            ranges = [
                range(*place.indices(size))
                for place, size in zip(index, shape, strict=True)
            ]
            return draw(
                self.folder, entry, [r.start for r in ranges], [len(r) for r in ranges]
            )

        sharding = mesh_call.sharding(argument, self.mesh)
        return jax.make_array_from_callback(shape, sharding, part)

    def _put(self, value: Any, sharding: NamedSharding) -> Any:
        return jax.make_array_from_callback(value.shape, sharding, lambda i: value[i])


def check_files(folder: Path) -> None:
    """Compares every file with the manifest.

    Raises:
      ProgramError: a file is missing or is not what was written.
    """
    try:
        files = json.loads((folder / MANIFEST).read_text())["files"]
        for name, expected in files.items():
            found = hashlib.sha256((folder / name).read_bytes()).hexdigest()
            if found != expected["sha256"]:
                raise ProgramError(f"{folder / name} is damaged: its SHA-256 differs")
    except OSError as error:
        raise ProgramError(
            f"{folder} is no folder of `mtmoe program export`, or not a whole one: "
            f"{error.filename}: {error.strerror}"
        ) from error
