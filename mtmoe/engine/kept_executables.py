"""Programs compiled for CPUs, kept from one process to the next.

JAX keeps what is compiled by itself, but of a run's processes only the first one
writes, and on CPUs each looks under a key of its own. So the executables of the others
are kept here, and those of large programs, which are compiled apart
(`mtmoe.engine.apart`).
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

from mtmoe.engine import apart, cache
from mtmoe.engine.cores import num_cores
from mtmoe.mesh.signature import Program

_log = logging.getLogger(__name__)
_taken_over_by_jax = 0


def kept_executable(
    program: Program,
    mesh: Mesh,
    options: Mapping[str, Any],
    compile_here: Callable[[Program, Mesh, Mapping[str, Any]], Compiled],
) -> Compiled:
    """Compiles, or takes over what an earlier process in the same place has compiled.

    Args:
      program: what is compiled.
      mesh: the devices.
      options: XLA's.
      compile_here: compiles it in this process.
    """
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
        taken_over = _taken_over_by_jax
        executable = compile_here(program, mesh, options)
        # Of what JAX has taken over XLA would write down a part, without an error.
        if taken_over == _taken_over_by_jax:
            keep(executable, path)
    return executable


def keep(executable: Compiled, path: Path) -> None:
    """Writes down an executable that was compiled in this process, if XLA can do it."""
    try:
        cache.write(path, serialize_executable.serialize(executable))
    except Exception as error:  # it works all the same
        _log.info("%s is not kept: %s", path, error)


def _key(program: Program, mesh: Mesh, options: Mapping[str, Any]) -> str:
    """Returns a digest of all that an executable depends on."""
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
    except Exception as error:  # it is made again, whatever that raises
        _log.info("compiled anew: cannot load %s: %s", path, error)
        return None


def _count_what_jax_takes_over(event: str, **_: object) -> None:
    global _taken_over_by_jax
    _taken_over_by_jax += event == "/jax/compilation_cache/cache_hits"


jax.monitoring.register_event_listener(_count_what_jax_takes_over)
