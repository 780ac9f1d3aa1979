"""What is kept from one process to the next: lowered programs, and compiled ones.

A lowered program is kept under a digest of everything it depends on: what its build
function does and closes over, the features, layout, seed and precision, gin's bindings,
and all code (`mtmoe.engine.fingerprint`, `mtmoe.engine.sources`). Where one of them
cannot be told for sure, nothing is kept. JAX keeps what is compiled under a digest of
the StableHLO, the devices and XLA's options; what it overlooks is kept here, see
`kept_executable`. So a second start neither traces nor compiles. Deleting the folder
costs time alone.

Whoever can write to the folder can run code in the processes that read it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib.metadata
import importlib.util
import logging
import os
import pickle
import platform
import secrets
import shutil
import sys
import tempfile
import time
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import gin
import jax
import tensorflow as tf
from jax.experimental import serialize_executable
from jax.sharding import Mesh
from jax.stages import Compiled

from mtmoe.engine.fingerprint import NoFingerprintError, describe
from mtmoe.engine.sources import ChangedSourceError, digest
from mtmoe.engine.turns import turn
from mtmoe.mesh.build import Build
from mtmoe.mesh.lowered import LoweredProgram, ProgramOptions, lower

# Bytes that have to be free on the disk for anything to be kept.
_ROOM = 1_000_000_000
# Bytes that may be kept of each kind; what was not used for longest goes first.
_MOST_PROGRAMS = 500_000_000
_MOST_COMPILED = 4_000_000_000

Kept = TypeVar("Kept")

_log = logging.getLogger(__name__)
_programs: Path | None = None
_taken_over_by_jax = 0


def keep_compiled(folder: Path) -> None:
    """Lets later processes take over what this one lowers and compiles.

    Lowered programs are files in the subfolder `programs`, compiled ones in a subfolder
    for this version of jaxlib and this kind of CPU. To be called before anything is
    compiled. A folder that the user has named in
    JAX_COMPILATION_CACHE_DIR stays the one for what is compiled. Where nothing can be
    written, or the disk is all but full, nothing is kept, and a warning says so.

    Args:
      folder: where the subfolders are made.
    """
    global _programs
    valid_for = "\n".join(_compiler())
    compiled = folder / hashlib.sha256(valid_for.encode()).hexdigest()[:16]
    try:
        _prepare(compiled)
        _prepare(folder / "programs")
    except OSError as error:
        print(f"mtmoe: what is compiled is not kept: {error}", file=sys.stderr)
        return
    _programs = folder / "programs"
    if jax.config.jax_compilation_cache_dir is not None:
        return
    jax.config.update("jax_compilation_cache_dir", str(compiled))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    if importlib.util.find_spec("filelock"):  # JAX counts with its help alone
        for path in compiled.glob("*-cache"):  # it trips over one left without its time
            if not path.with_name(path.name.removesuffix("-cache") + "-atime").exists():
                path.unlink(missing_ok=True)
        jax.config.update("jax_compilation_cache_max_size", _MOST_COMPILED)


def lowered_program(
    build: Build,
    signature: Mapping[str, tf.TensorSpec],
    name: str,
    options: ProgramOptions,
) -> LoweredProgram:
    """Lowers a function, or takes over what another process made of the same one.

    Arguments and errors are those of `mtmoe.mesh.lowered.lower`.
    """
    if _programs is None:
        return lower(build, signature, name, options)
    try:
        key = program_key(build, signature, name, options)
    except (NoFingerprintError, ChangedSourceError) as error:
        _log.info("%s is not kept: %s", name, error)
        return lower(build, signature, name, options)
    path = _programs / f"{key}.program"
    started = time.monotonic()
    program = _read(path, LoweredProgram)
    if program is None:
        with turn(path):  # the processes of a run all want it at once
            program = _read(path, LoweredProgram)
            if program is None:
                program = lower(build, signature, name, options)
                _write(path, program)
                return program
    return dataclasses.replace(program, seconds=time.monotonic() - started)


def program_key(
    build: Build,
    signature: Mapping[str, tf.TensorSpec],
    name: str,
    options: ProgramOptions,
) -> str:
    """Returns a digest of all that the lowered function depends on.

    Raises:
      NoFingerprintError: something takes part of which that cannot be told.
      ChangedSourceError: a source file changed since this process read it.
    """
    parts = [
        describe([name, dict(signature), options, build]),
        gin.config_str(),  # a configurable that is called while building reads them
        digest(),
    ]
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def kept_executable(
    program: LoweredProgram,
    mesh: Mesh,
    options: Mapping[str, Any],
    compile_: Callable[[], Compiled],
) -> Compiled:
    """Compiles, or takes over what an earlier process in the same place has compiled.

    JAX does that by itself, but of a run's processes only the first one writes, and on
    CPUs each looks under a key of its own. So the executables of the others are kept
    here, for CPUs.

    Args:
      program: what is compiled.
      mesh: the devices.
      options: XLA's.
      compile_: compiles it.
    """
    devices = list(mesh.devices.flat)
    if _programs is None or not jax.process_index() or devices[0].platform != "cpu":
        return compile_()
    parts = [
        hashlib.sha256(program.stablehlo).hexdigest(),
        program.signature.to_json(),
        [(name, size) for name, size in mesh.shape.items()],
        [(device.id, device.process_index) for device in devices],
        jax.process_index(),
        sorted(options.items()),
        os.environ.get("XLA_FLAGS"),
        *_compiler(),
    ]
    key = hashlib.sha256(repr(parts).encode()).hexdigest()
    path = _programs / f"{key}.executable"
    serialized = _read(path, tuple)
    if serialized is not None:
        try:
            return serialize_executable.deserialize_and_load(
                *serialized, backend=devices[0].client, execution_devices=devices
            )
        except Exception as error:  # it is made again, whatever that raises
            _log.info("compiled anew: cannot load %s: %s", path, error)
    taken_over = _taken_over_by_jax
    compiled = compile_()
    # Of what JAX has taken over XLA would write down a part, without an error.
    if taken_over == _taken_over_by_jax:
        try:
            _write(path, serialize_executable.serialize(compiled))
        except Exception as error:  # XLA cannot write it down: it works all the same
            _log.info("%s is not kept: %s", path, error)
    return compiled


def _count_what_jax_takes_over(event: str, **_: object) -> None:
    global _taken_over_by_jax
    _taken_over_by_jax += event == "/jax/compilation_cache/cache_hits"


jax.monitoring.register_event_listener(_count_what_jax_takes_over)


@contextlib.contextmanager
def mended(module_name: str) -> Iterator[None]:
    """Removes what JAX could not read of what is kept under a module's name.

    It has been compiled anew then, but JAX writes over no file that is there.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        text = str(warning.message)
        if "persistent compilation cache" not in text:
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )
        elif folder := jax.config.jax_compilation_cache_dir:
            _log.info("compiled anew: %s", text)
            for path in Path(folder).glob(f"{module_name}-*"):
                with contextlib.suppress(OSError):
                    path.unlink()


def _read(path: Path, kind: type[Kept]) -> Kept | None:
    """Returns what was kept; None if that is nothing, damaged or of another kind."""
    try:
        content = path.read_bytes()
        packed = content[hashlib.sha256().digest_size :]
        if hashlib.sha256(packed).digest() + packed != content:
            return None
        kept = pickle.loads(zlib.decompress(packed))
        os.utime(path)  # used last now
    except Exception as error:  # a damaged file is made again, whatever it raises
        if path.exists():
            _log.info("cannot read %s: %s", path, error)
        return None
    return kept if isinstance(kept, kind) else None


def _write(path: Path, value: object) -> None:
    """Keeps a value; one that cannot be written down, or no room, is no error."""
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        packed = zlib.compress(pickle.dumps(value), level=1)
        temporary.write_bytes(hashlib.sha256(packed).digest() + packed)
        os.replace(temporary, path)
        make_room(path.parent, _MOST_PROGRAMS)
    except Exception as error:
        _log.info("%s is not kept: %s", path, error)
        with contextlib.suppress(OSError):
            temporary.unlink()


def make_room(folder: Path, most: int) -> None:
    """Removes the programs and executables that were not used for longest.

    Args:
      folder: where they are.
      most: bytes that may stay.
    """
    found = []
    for path in (*folder.glob("*.program"), *folder.glob("*.executable")):
        with contextlib.suppress(OSError):  # another process has removed it
            status = path.stat()
            found.append((status.st_mtime_ns, status.st_size, path))
    for _, size, path in sorted(found, reverse=True):
        most -= size
        if most < 0:
            path.unlink(missing_ok=True)


def _prepare(directory: Path) -> None:
    """Makes the directory, and takes out what a crash of the machine left empty.

    Raises:
      OSError: that cannot be done, or there is no room for more.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for path in directory.iterdir():
        if path.is_file() and not path.name.startswith(".") and not path.stat().st_size:
            path.unlink(missing_ok=True)
    with tempfile.TemporaryFile(dir=directory):
        free = shutil.disk_usage(directory).free
    if free < _ROOM:
        raise OSError(f"{free / 1e6:.0f} MB are left on the disk of {directory}")


def _compiler() -> tuple[str, str]:
    """What a compiled program is valid for: the compiler's version, and the CPU."""
    return importlib.metadata.version("jaxlib"), _cpu()


def _cpu() -> str:
    """What tells this kind of CPU from others that run other instructions."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    kinds = ("model name", "flags", "Features")
    return "\n".join(sorted({line for line in lines if line.startswith(kinds)}))
