"""How a process compiles for a CPU, and how it keeps its memory."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
from collections.abc import Iterator

_DISABLED = "--xla_disable_hlo_passes=tree_reduction_rewriter"

# Of malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_NEVER = 2**31 - 1


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


def keep_freed_memory() -> None:
    """Keeps memory that is freed for the next step, where the C library is glibc.

    A step's temporary memory is one allocation of hundreds of megabytes. By default it
    goes back to the system after each step, and the next one waits for every page of it
    to be mapped and cleared again, which is a fifth of a step on a CPU. Elsewhere than
    in glibc nothing is changed.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    mallopt(_M_MMAP_THRESHOLD, _NEVER)
    mallopt(_M_TRIM_THRESHOLD, _NEVER)


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
