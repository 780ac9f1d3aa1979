"""How a process keeps memory; imports no TensorFlow."""

from __future__ import annotations

import contextlib
import ctypes

# Of malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_NEVER = 2**31 - 1

_kept = False


def keep_freed_memory() -> None:
    """Keeps memory that is freed for the next step, where the C library is glibc.

    A step's temporary memory is one allocation of hundreds of megabytes. By default it
    goes back to the system after each step, and the next one waits for every page of it
    to be mapped and cleared again, which is a fifth of a step on a CPU.

    Threads get no memory of their own, for that holds 64 MB at most: what is larger, as
    the packed weights of wide experts, would be mapped anew each time. This part has no
    effect once TensorFlow is imported. Elsewhere than in glibc nothing is changed.
    """
    global _kept
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    mallopt(_M_MMAP_THRESHOLD, _NEVER)
    mallopt(_M_TRIM_THRESHOLD, _NEVER)
    mallopt(_M_ARENA_MAX, 1)
    _kept = True


def return_freed_memory() -> None:
    """Gives what is free at the moment back to the system, if it was kept until now.

    For the moments when much has been freed that is not needed in that shape again:
    after a compilation, and after a function's first call, whose temporary memory lies
    in a gap that a few small arrays then make too narrow for the second call's.
    """
    if not _kept:
        return
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
