"""The folder for what one process keeps for the next, and how files get there.

Lowered programs (`compile.kept_programs`), executables for CPUs
(`compile.kept_executables`), and in JAX's own cache what is compiled for other devices:
a second start neither traces nor compiles. Deleting the folder costs nothing but time.

Whoever can write to the folder can run code in the processes that read it. Imports no
TensorFlow.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import logging
import os
import pickle
import platform
import shutil
import sys
import tempfile
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import jax

from mtmoe.files import write_file

# Bytes that must be free on the disk for anything to be kept.
_ROOM = 1_000_000_000
# Bytes that may be kept of each kind; the least recently used go first.
_MOST_PROGRAMS = 500_000_000
_MOST_COMPILED = 4_000_000_000

Kept = TypeVar("Kept")

# Where programs and executables are kept; None: nothing is.
programs: Path | None = None

_log = logging.getLogger(__name__)


def keep_compiled(folder: Path) -> None:
    """Lets later processes read what this one lowers and compiles.

    Lowered programs are files in the subfolder `programs`, and so are large programs
    compiled for a CPU; JAX's cache is a subfolder for this version of jaxlib and this
    kind of CPU, or the folder that the user has named in JAX_COMPILATION_CACHE_DIR. To
    be called before anything is compiled. Where nothing can be written, or the disk is
    nearly full, nothing is kept, and a warning says so.
    """
    global programs
    valid_for = "\n".join(compiler())
    compiled = folder / hashlib.sha256(valid_for.encode()).hexdigest()[:16]
    try:
        _prepare(compiled)
        _prepare(folder / "programs")
    except OSError as error:
        print(f"mtmoe: what is compiled is not kept: {error}", file=sys.stderr)
        return
    programs = folder / "programs"
    if jax.config.jax_compilation_cache_dir is not None:
        return
    jax.config.update("jax_compilation_cache_dir", str(compiled))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    if importlib.util.find_spec("filelock"):  # without it JAX keeps no count
        for path in compiled.glob("*-cache"):  # it trips over one left without its time
            if not path.with_name(path.name.removesuffix("-cache") + "-atime").exists():
                path.unlink(missing_ok=True)
        jax.config.update("jax_compilation_cache_max_size", _MOST_COMPILED)


@contextlib.contextmanager
def mended(module_name: str) -> Iterator[None]:
    """Removes what JAX could not read of the files under a module's name.

    JAX has compiled the module again by then, but overwrites no file.
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
            _log.info("compiled again: %s", text)
            for path in Path(folder).glob(f"{module_name}-*"):
                with contextlib.suppress(OSError):
                    path.unlink()


def read(path: Path, kind: type[Kept]) -> Kept | None:
    """Returns a kept value; None if it is absent, damaged or of another kind."""
    try:
        content = path.read_bytes()
        packed = content[hashlib.sha256().digest_size :]
        if hashlib.sha256(packed).digest() + packed != content:
            return None
        kept = pickle.loads(zlib.decompress(packed))
        os.utime(path)  # most recently used now
    except Exception as error:  # whatever a damaged file raises, it is made again
        if path.exists():
            _log.info("cannot read %s: %s", path, error)
        return None
    return kept if isinstance(kept, kind) else None


def write(path: Path, value: object) -> None:
    """Keeps a value; if it cannot be pickled or there is no room, that is no error."""
    try:
        packed = zlib.compress(pickle.dumps(value), level=1)
        content = hashlib.sha256(packed).digest() + packed
        write_file(path, content, durable=False)  # `read` tells a damaged one
        make_room(path.parent, _MOST_PROGRAMS)
    except Exception as error:
        _log.info("%s is not kept: %s", path, error)


def make_room(folder: Path, most: int) -> None:
    """Removes the least recently used programs and executables beyond `most` bytes."""
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
    """Makes the directory, and removes files that a crash of the machine left empty.

    Raises:
      OSError: that fails, or the disk is nearly full.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for path in directory.iterdir():
        if path.is_file() and not path.name.startswith(".") and not path.stat().st_size:
            path.unlink(missing_ok=True)
    with tempfile.TemporaryFile(dir=directory):
        free = shutil.disk_usage(directory).free
    if free < _ROOM:
        raise OSError(f"{free / 1e6:.0f} MB are left on the disk of {directory}")


def compiler() -> tuple[str, str]:
    """Returns what a compiled program is valid for: the compiler's version, the CPU."""
    return importlib.metadata.version("jaxlib"), _cpu()


def _cpu() -> str:
    """Returns what tells this kind of CPU from those with other instructions."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    kinds = ("model name", "flags", "Features")
    return "\n".join(sorted({line for line in lines if line.startswith(kinds)}))
