"""A lowered program as files that any JAX of the next years can run.

The StableHLO is a portable artifact, which later versions of XLA promise to read for
five years. The signature and the recipe for the variables are JSON. The scripts that
run it are copied from `engine.standalone`.
"""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jax.extend.mlir import ir
from jax.extend.mlir.dialects import stablehlo
from jax.interpreters import mlir

from mtmoe.engine import standalone
from mtmoe.engine.compile.options import TABLE
from mtmoe.engine.hardware.generations import GENERATIONS
from mtmoe.errors import MtmoeError
from mtmoe.files import new_folder
from mtmoe.mesh.context import InitialValue
from mtmoe.mesh.initializers import Constant, TruncatedNormal
from mtmoe.mesh.lowered import LoweredProgram

FORMAT = 1
PROGRAM = "program.stablehlo.gz"
DESCRIPTION = "program.json"
MANIFEST = "MANIFEST.json"
README = "README.txt"
# What JAX 0.4.35 reads. A program with later operations is written for the version of
# twelve weeks ago.
STABLEHLO_VERSION = "1.7.0"
# Variables that only Python can draw are written as arrays, up to this size in all.
LARGEST_ARRAYS = 16 * 2**20

Features = Mapping[str, np.ndarray[Any, Any]]


class ProgramExportError(MtmoeError):
    """A program cannot be exported, or not to this place."""


@dataclasses.dataclass(frozen=True)
class Expectation:
    """The losses a program's first steps should give.

    Attributes:
      losses: of the steps, in order; empty where they were not computed.
      tolerance: largest relative difference by platform ("cpu", "gpu", "tpu"), and of
        any "other".
    """

    losses: Sequence[float]
    tolerance: Mapping[str, float]


def write_program(
    folder: Path,
    program: LoweredProgram,
    batches: Sequence[Features],
    expectation: Expectation,
    facts: Mapping[str, Any],
) -> None:
    """Writes a program, `facts` about it, and all that its first steps need.

    Raises:
      ProgramExportError: the folder exists, or a variable's initial value can neither
        be described nor is small enough to be written.
    """
    check_is_new(folder)
    with new_folder(folder) as new:
        artifact, version = portable_artifact(program.stablehlo)
        # The same bytes at every call: no time in the header.
        (new / PROGRAM).write_bytes(gzip.compress(artifact, 9, mtime=0))
        description = {
            "format": FORMAT,
            "signature": json.loads(program.signature.to_json()),
            "donated": program.signature.updated,
            "variables": _initial_values(new, program),
            "num_batches": len(batches),
            "expected_losses": list(expectation.losses),
            "tolerance": dict(expectation.tolerance),
            "stablehlo_version": version,
            "xla_options": _xla_options(),
        } | dict(facts)
        (new / DESCRIPTION).write_text(json.dumps(description, indent=1) + "\n")
        for number, features in enumerate(batches):
            _write_batch(new / "batches" / str(number), program, features)
        scripts = Path(standalone.__file__).parent
        for script in sorted(scripts.glob("*.py")):
            if script.name != "__init__.py":
                shutil.copyfile(script, new / script.name)
        (new / README).write_text(
            f"{description.get('note', program.signature.name)}\n"
            "Run it where NumPy and JAX are installed: "
            "python run_program.py . --profile\n"
            "program.json says what goes in, what comes out, what losses to expect; "
            "MANIFEST.json has the SHA-256 of every file.\n"
        )
        _write_manifest(new)


def portable_artifact(module: bytes) -> tuple[bytes, str]:
    """Returns StableHLO, bytecode or text, as a portable artifact, and its version."""
    with mlir.make_ir_context():
        parsed = ir.Module.parse(module)
        try:
            artifact = stablehlo.serialize_portable_artifact(parsed, STABLEHLO_VERSION)
            return artifact, STABLEHLO_VERSION
        except (ValueError, RuntimeError):  # it has operations of later versions
            requirement = stablehlo.StablehloCompatibilityRequirement.WEEK_12
            version = stablehlo.get_version_from_compatibility_requirement(requirement)
            return stablehlo.serialize_portable_artifact(parsed, version), version


def described(initial: InitialValue) -> dict[str, Any] | None:
    """Returns how to draw a variable as plain data; None where only Python can."""
    initializer = initial.initializer
    # A subclass may draw something else.
    if type(initializer) is Constant:
        return {"kind": "constant", "value": initializer.value}
    if type(initializer) is TruncatedNormal:
        return {
            "kind": "truncated_normal",
            "stddev": initializer.stddev,
            "key": list(initial.key),
        }
    return None


def _initial_values(new: Path, program: LoweredProgram) -> dict[str, dict[str, Any]]:
    entries, written = {}, 0
    for number, argument in enumerate(program.signature.variables):
        initial = program.initial_values[argument.name]
        entry = described(initial)
        if entry is None:
            written += 4 * int(np.prod(argument.shape))
            if written > LARGEST_ARRAYS:
                raise ProgramExportError(
                    f"the initial value of {argument.name} is drawn by "
                    f"{initial.initializer!r}, which only Python can draw, and such "
                    f"variables have more than {LARGEST_ARRAYS:,} bytes; allowed are "
                    "initializers of mtmoe.mesh.initializers, or less of the others"
                )
            entry = {"kind": "array", "file": f"initial/{number}.npy"}
            (new / "initial").mkdir(exist_ok=True)
            np.save(
                new / entry["file"], initial.initializer(argument.shape, initial.key)
            )
        entries[argument.name] = entry
    return entries


def _write_batch(folder: Path, program: LoweredProgram, features: Features) -> None:
    folder.mkdir(parents=True)
    for argument in program.signature.features:
        array = np.asarray(features[argument.name], argument.dtype)
        np.save(folder / f"{argument.name}.npy", array.reshape(argument.shape))


def _xla_options() -> dict[str, dict[str, Any]]:
    """Options by platform, or by what a TPU calls itself."""
    options: dict[str, dict[str, Any]] = {}
    for option in TABLE:
        for kind in option.kinds:
            device = GENERATIONS[kind].device_kind if kind in GENERATIONS else kind
            options.setdefault(device, {})[option.name] = option.value
    return options


def _write_manifest(folder: Path) -> None:
    files = {
        path.relative_to(folder).as_posix(): {
            "bytes": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    text = json.dumps({"format": FORMAT, "files": files}, indent=1)
    (folder / MANIFEST).write_text(text + "\n")


def check_is_new(path: Path) -> None:
    """Checks that nothing would be overwritten.

    Raises:
      ProgramExportError: there is something at the place.
    """
    if path.exists():
        raise ProgramExportError(
            f"--output_dir {path} exists already; nothing is overwritten: name another "
            "folder"
        )
