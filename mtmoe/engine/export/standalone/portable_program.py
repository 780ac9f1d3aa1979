"""An exported program, compiled and run by whatever JAX is installed.

JAX 0.4.35 and later will do. JAX traces nothing of the model: a primitive stands for
the program, and its lowering inlines the program's StableHLO; `jit` and `shard_map`
around it bring donated buffers and every device that JAX has.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from initial_values import draw  # type: ignore[import-not-found]
from jax.extend.core import Primitive
from jax.extend.mlir import ir
from jax.extend.mlir.dialects import func, stablehlo
from jax.interpreters import mlir
from jax.sharding import Mesh, NamedSharding, PartitionSpec

FORMAT = 1
PROGRAM = "program.stablehlo.gz"
DESCRIPTION = "program.json"
MANIFEST = "MANIFEST.json"

_program = Primitive("mesh_program")
_program.multiple_results = True


class ProgramError(Exception):
    """A folder is no whole exported program, or cannot run here."""


@_program.def_abstract_eval
def _abstract(*arguments: Any, owner: PortableProgram) -> list[Any]:
    del arguments
    return [
        jax.core.ShapedArray(shape, np.dtype(dtype)) for shape, dtype in owner.results()
    ]


def _inline(context: Any, *arguments: Any, owner: PortableProgram) -> list[Any]:
    target = context.module_context
    module = stablehlo.deserialize_portable_artifact(target.context, owner.artifact)
    name = mlir.merge_mlir_modules(
        target.module, "mesh_program", module, dst_symtab=target.symbol_table
    )
    symbol = target.symbol_table[name]
    reference = ir.FlatSymbolRefAttr.get(name)
    return list(func.CallOp(symbol.type.results, reference, arguments).results)


mlir.register_lowering(_program, _inline)


class PortableProgram:
    """A folder that `mtmoe program export` wrote.

    Attributes:
      folder: the folder.
      content: what `program.json` holds.
      artifact: the portable StableHLO.
      mesh: the devices it runs on.
      values: the variables by name, as they are after the last step.
    """

    def __init__(self, folder: Path):
        """Reads the program and checks its files.

        Args:
          folder: where it lies.

        Raises:
          ProgramError: a file is missing or damaged, or of a later format.
        """
        self.folder = folder
        check_files(folder)
        self.content: Mapping[str, Any] = json.loads((folder / DESCRIPTION).read_text())
        if self.content["format"] != FORMAT:
            raise ProgramError(
                f"{folder} has format {self.content['format']}, this script reads "
                f"{FORMAT}; take the run_program.py that lies beside the program"
            )
        self.artifact = gzip.decompress((folder / PROGRAM).read_bytes())
        self.signature: Mapping[str, Any] = self.content["signature"]
        self._variables = {a["name"]: a for a in self.signature["variables"]}
        self.mesh = self._device_mesh()
        self.numbers = self._put(np.arange(self.mesh.size, dtype=np.int32), self._all)
        self.values: dict[str, Any] = {}

    def compile(self) -> float:
        """Compiles the program; returns the seconds it took."""
        started = time.perf_counter()
        # Buffers of updated variables are donated.
        jitted = jax.jit(self._mapped(), donate_argnums=(3,))
        lowered = jitted.lower(*self._abstract_arguments())
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
        for name, argument in self._variables.items():
            self.values[name] = self._drawn(argument)
        jax.block_until_ready(self.values)
        return time.perf_counter() - started

    def load_batch(self, number: int) -> list[Any]:
        """Puts a batch on the devices.

        Args:
          number: which of the batches, from 0; after the last comes the first again.
        """
        number %= self.content["num_batches"]
        return [
            self._put(
                np.load(self.folder / f"batches/{number}/{a['name']}.npy"),
                self._sharding(a),
            )
            for a in self.signature["features"]
        ]

    def step(self, number: int, batch: Sequence[Any]) -> dict[str, Any]:
        """Starts a step; returns its outputs by name, which may still be computed."""
        updated, kept = self._groups()
        outputs, new = self.compiled(
            np.int32(number),
            self.numbers,
            list(batch),
            [self.values[a["name"]] for a in updated],
            [self.values[a["name"]] for a in kept],
        )
        names = [a["name"] for a in updated]
        self.values.update(zip(names, new, strict=True))
        names = [a["name"] for a in self.signature["outputs"]]
        return dict(zip(names, outputs, strict=True))

    def results(self) -> list[tuple[tuple[int, ...], str]]:
        """Shape and dtype of a processor's part of each result."""
        outputs = [(tuple(a["shape"]), a["dtype"]) for a in self.signature["outputs"]]
        updated = [(self._slice(a), a["dtype"]) for a in self._groups()[0]]
        return outputs + updated

    def _options(self) -> dict[str, Any]:
        """Options for these devices, by platform or by what they call themselves."""
        device = self.mesh.devices.flat[0]
        options: Mapping[str, Mapping[str, Any]] = self.content["xla_options"]
        platform = {"cuda": "gpu", "rocm": "gpu"}.get(device.platform, device.platform)
        return dict(options.get(platform, {})) | dict(
            options.get(device.device_kind, {})
        )

    @property
    def _all(self) -> NamedSharding:
        return NamedSharding(self.mesh, PartitionSpec(self.mesh.axis_names))

    def _device_mesh(self) -> Mesh:
        axes = self.signature["mesh"] or [["processor", 1]]
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

    def _groups(self) -> tuple[list[Any], list[Any]]:
        """The variables that are updated, in the results' order, and the others."""
        updated = self.signature["updated"]
        others = [a for name, a in self._variables.items() if name not in set(updated)]
        return [self._variables[name] for name in updated], others

    def _mapped(self) -> Any:
        updated, kept = self._groups()
        order = {a["name"]: i for i, a in enumerate([*updated, *kept])}
        places = [order[name] for name in self._variables]
        count = len(self.signature["outputs"])

        def train_step(step, processor, features, donated, constant):  # type: ignore[no-untyped-def]
            given = [*donated, *constant]
            results = _program.bind(
                step,
                processor.reshape(()),
                *features,
                *(given[place] for place in places),
                owner=self,
            )
            return results[:count], results[count:]

        specs = [[_spec(a) for a in group] for group in (updated, kept)]
        features = [_spec(a) for a in self.signature["features"]]
        whole = PartitionSpec()
        return _shard_map(
            train_step,
            self.mesh,
            (whole, PartitionSpec(self.mesh.axis_names), features, *specs),
            ([whole] * count, specs[0]),
        )

    def _abstract_arguments(self) -> tuple[Any, ...]:
        def abstract(argument: Mapping[str, Any]) -> Any:
            return jax.ShapeDtypeStruct(
                tuple(argument["shape"]),
                np.dtype(argument["dtype"]),
                sharding=self._sharding(argument),
            )

        groups = [self.signature["features"], *self._groups()]
        whole = NamedSharding(self.mesh, PartitionSpec())
        return (
            jax.ShapeDtypeStruct((), np.int32, sharding=whole),
            jax.ShapeDtypeStruct((self.mesh.size,), np.int32, sharding=self._all),
            *([abstract(a) for a in group] for group in groups),
        )

    def _drawn(self, argument: Mapping[str, Any]) -> Any:
        shape = tuple(argument["shape"])
        entry = self.content["variables"][argument["name"]]

        def part(index: Any) -> Any:
            ranges = [
                range(*place.indices(size))
                for place, size in zip(index, shape, strict=True)
            ]
            return draw(
                self.folder, entry, [r.start for r in ranges], [len(r) for r in ranges]
            )

        return jax.make_array_from_callback(shape, self._sharding(argument), part)

    def _put(self, value: Any, sharding: NamedSharding) -> Any:
        return jax.make_array_from_callback(value.shape, sharding, lambda i: value[i])

    def _sharding(self, argument: Mapping[str, Any]) -> NamedSharding:
        return NamedSharding(self.mesh, _spec(argument))

    def _slice(self, argument: Mapping[str, Any]) -> tuple[int, ...]:
        sizes = dict(self.mesh.shape)
        return tuple(
            size if axis is None else size // sizes[axis]
            for size, axis in zip(argument["shape"], argument["split"], strict=True)
        )


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


def _spec(argument: Mapping[str, Any]) -> PartitionSpec:
    return PartitionSpec(*argument["split"])


def _shard_map(function: Any, mesh: Mesh, in_specs: Any, out_specs: Any) -> Any:
    if hasattr(jax, "shard_map"):
        return jax.shard_map(
            function, mesh=mesh, in_specs=in_specs, out_specs=out_specs, check_vma=False
        )
    from jax.experimental.shard_map import shard_map  # JAX before 0.6

    return shard_map(
        function, mesh=mesh, in_specs=in_specs, out_specs=out_specs, check_rep=False
    )
