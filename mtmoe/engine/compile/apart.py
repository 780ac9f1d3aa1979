"""Compiles a large program for CPUs in another process.

XLA allocates a gigabyte for it in millions of pieces, and leaves this process's memory
full of gaps. A step asks for memory thousands of times, and each time glibc searches
all the gaps that might fit: 12 % of the time of a step, 20 % of one on two devices. The
executable is read from the file that the other process wrote. See docs/performance.md.
"""

from __future__ import annotations

import atexit
import dataclasses
import math
import pickle
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from mtmoe.engine import own_python
from mtmoe.mesh.signature import Program, Signature

# Bytes of a program's variables above which starting a process pays: 1 s of a core.
_LEAST_BYTES = 50_000_000

_waiting: subprocess.Popen[bytes] | None = None


@dataclasses.dataclass(frozen=True)
class Request:
    """What the other process is to compile, and where to write it.

    Attributes:
      cpu_devices: JAX's `jax_num_cpu_devices` in this process.
      device_ids: of the mesh, in its shape.
      axes: names of the mesh's dimensions.
      options: XLA's.
    """

    program: Program
    cpu_devices: int
    device_ids: np.ndarray[Any, np.dtype[np.int64]]
    axes: tuple[str, ...]
    options: Mapping[str, Any]
    path: Path

    def mesh(self) -> Mesh:
        """Returns the mesh, made of the devices of the process that calls this."""
        devices = {device.id: device for device in jax.devices()}
        return Mesh(np.vectorize(devices.__getitem__)(self.device_ids), self.axes)


def is_wanted(signature: Signature, platform: str) -> bool:
    """Whether a program is compiled apart: it is large, for one process's CPU."""
    if platform != "cpu" or jax.process_count() > 1 or not sys.executable:
        return False
    sizes = (
        math.prod(variable.shape) * np.dtype(variable.dtype).itemsize
        for variable in signature.variables
    )
    return sum(sizes) >= _LEAST_BYTES


def expect(signature: Signature) -> None:
    """Starts the other process, which imports JAX while this one lowers a program."""
    global _waiting
    if _waiting is None and is_wanted(signature, jax.default_backend()):
        _waiting = _start()


def dismiss() -> None:
    """Ends the waiting process, if there is one."""
    global _waiting
    if _waiting is not None:
        _waiting.kill()
        _waiting.communicate()
        _waiting = None


atexit.register(dismiss)


def compile_apart(
    program: Program, mesh: Mesh, options: Mapping[str, Any], path: Path
) -> str:
    """Compiles a program for this process's CPUs in the other process.

    Returns:
      How it ended, with the reason if it has not written the executable to `path`.
    """
    global _waiting
    request = Request(
        Program(program.stablehlo, program.signature),
        jax.config.jax_num_cpu_devices,
        np.vectorize(lambda device: device.id)(mesh.devices),
        mesh.axis_names,
        options,
        path,
    )
    process, _waiting = _waiting or _start(), None
    try:
        _, said = process.communicate(pickle.dumps(request))
    finally:  # it does not outlive an interrupt
        process.kill()
        process.wait()
    words = said.decode(errors="replace").strip().splitlines() or ["it says nothing"]
    return f"ended with {process.returncode}: {words[-1]}"


def _start() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        own_python.command("mtmoe.engine.compile.compiler_process"),
        env=own_python.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for the process that asks
    )
