"""Programs compiled for CPUs, kept from one process to the next.

JAX keeps compiled programs itself, but of a run's processes only the first writes to
its cache, and on CPUs each looks under its own key. So the executables of the others
are kept here, and those of large programs, which are compiled `apart`.
"""

from __future__ import annotations

import hashlib
import logging
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
from jax.experimental import serialize_executable
from jax.sharding import Mesh
from jax.stages import Compiled

from mtmoe.engine.compile import apart
from mtmoe.engine.hardware.cores import num_cores
from mtmoe.engine.kept import cache
from mtmoe.mesh.signature import Program

_log = logging.getLogger(__name__)
_cache_hits = 0


def kept_executable(
    program: Program,
    mesh: Mesh,
    options: Mapping[str, Any],
    compile_here: Callable[[Program, Mesh, Mapping[str, Any]], Compiled],
) -> Compiled:
    """Compiles a program, or reads what an earlier process in its place compiled."""
    platform = mesh.devices.flat[0].platform
    is_apart = apart.is_wanted(program.signature, platform)
    is_overlooked = platform == "cpu" and jax.process_index() > 0  # by JAX
    if cache.programs is None or not (is_apart or is_overlooked):
        return compile_here(program, mesh, options)
    path = cache.programs / f"{_key(program, mesh, options)}.executable"
    executable = _read(path, mesh)
    if executable is not None:
        apart.dismiss()
        return executable
    if is_apart:
        ended = apart.compile_apart(program, mesh, options, path)
        executable = _read(path, mesh)
        if executable is None:
            print(
                f"mtmoe: {program.signature.name} is compiled in this process, whose "
                "steps may take longer for it. The one that should have compiled it "
                f"{ended}",
                file=sys.stderr,
            )
    if executable is None:
        hits = _cache_hits
        executable = compile_here(program, mesh, options)
        # XLA serializes only a part of what JAX read from its cache, without an error.
        if hits == _cache_hits:
            keep(executable, path)
    return executable


def keep(executable: Compiled, path: Path) -> None:
    """Writes an executable that this process compiled, if XLA can serialize it."""
    try:
        cache.write(path, serialize_executable.serialize(executable))
    except Exception as error:  # a second start compiles again
        _log.info("%s is not kept: %s", path, error)


def _key(program: Program, mesh: Mesh, options: Mapping[str, Any]) -> str:
    """Returns a digest of everything an executable depends on."""
    parts = [
        hashlib.sha256(program.stablehlo).hexdigest(),
        program.signature.to_json(),
        [(name, size) for name, size in mesh.shape.items()],
        [(device.id, device.process_index) for device in mesh.devices.flat],
        jax.process_index(),
        sorted(options.items()),
        os.environ.get("XLA_FLAGS"),
        # XLA cuts loops by the number of its threads.
        [num_cores(), os.environ.get("NPROC"), jax.local_device_count()],
        *cache.compiler(),
    ]
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _read(path: Path, mesh: Mesh) -> Compiled | None:
    """Loads what is kept; None if there is nothing that can be loaded."""
    serialized = cache.read(path, tuple)
    if serialized is None:
        return None
    devices = list(mesh.devices.flat)
    try:
        return serialize_executable.deserialize_and_load(
            *serialized, backend=devices[0].client, execution_devices=devices
        )
    except Exception as error:  # whatever it is, the program is compiled again
        _log.info("compiled again: cannot load %s: %s", path, error)
        return None


def _count_hits(event: str, **_: object) -> None:
    global _cache_hits
    _cache_hits += event == "/jax/compilation_cache/cache_hits"


jax.monitoring.register_event_listener(_count_hits)
