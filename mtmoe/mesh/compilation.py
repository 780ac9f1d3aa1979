"""How a process compiles for a CPU, and what it keeps of that."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf

_DISABLED = "--xla_disable_hlo_passes=tree_reduction_rewriter"

# Bytes that have to be free on the disk for what is compiled to be kept.
_ROOM = 1_000_000_000


def configure_compilation() -> None:
    """Takes out a pass of XLA's that makes sums slow on a CPU.

    It turns every sum over more than 32 numbers into a windowed one, which XLA runs
    number by number, ten times and more slower (norms, softmax, second moments). What
    it is for, the accuracy of sums over millions, `mean_over` has by itself.

    XLA reads its flags when a process first compiles. Flags that the user has set are
    kept, and where they disable passes nothing is added.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if "--xla_disable_hlo_passes" not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {_DISABLED}".strip()


def keep_compiled(folder: Path) -> None:
    """Lets later processes take what this one compiles for a CPU from a folder.

    Each compiled function is a file in a subfolder for this version of TensorFlow, this
    kind of CPU and these flags of XLA's; TensorFlow finds it by what the function
    computes. To be called before anything is compiled. A folder that the user has named
    in TF_XLA_FLAGS is left as it is. Where nothing can be written, or the disk is all
    but full, nothing is kept, and a warning says so: TensorFlow would end the program.

    Args:
      folder: where the subfolder is made.
    """
    flags = os.environ.get("TF_XLA_FLAGS", "")
    if "--tf_xla_persistent_cache_directory" in flags:
        return
    configure_compilation()
    valid_for = [tf.__version__, _cpu(), os.environ["XLA_FLAGS"]]
    digest = hashlib.sha256("\n".join(valid_for).encode()).hexdigest()[:16]
    directory = folder / digest
    try:
        _prepare(directory)
    except OSError as error:
        print(f"mtmoe: what is compiled is not kept: {error}", file=sys.stderr)
        return
    os.environ["TF_XLA_FLAGS"] = " ".join(
        [
            flags,
            f"--tf_xla_persistent_cache_directory='{directory}'",
            "--tf_xla_persistent_cache_device_types=CPU",
        ]
    ).strip()


def _prepare(directory: Path) -> None:
    """Makes the directory, and takes out what a crash of the machine left empty.

    Raises:
      OSError: that cannot be done, or there is no room for more.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for compiled in directory.glob("*.pb"):
        if not compiled.stat().st_size:
            compiled.unlink(missing_ok=True)
    with tempfile.TemporaryFile(dir=directory):
        free = shutil.disk_usage(directory).free
    if free < _ROOM:
        raise OSError(f"{free / 1e6:.0f} MB are left on the disk of {directory}")


def _cpu() -> str:
    """What tells this kind of CPU from others that run other instructions."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    kinds = ("model name", "flags", "Features")
    return "\n".join(sorted({line for line in lines if line.startswith(kinds)}))


@contextlib.contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Suspends the search for circles of garbage, while a graph grows.

    Nothing in a graph is garbage before it is whole, and looking at all of it again and
    again takes as long as building it.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
