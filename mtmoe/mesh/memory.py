"""How a process keeps memory; imports no TensorFlow."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from pathlib import Path

# Of malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_NEVER = 2**31 - 1

_TUNABLES, _HUGE_PAGES = "GLIBC_TUNABLES", "glibc.malloc.hugetlb"
_TRANSPARENT_HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")

_kept = False


def restart_in_huge_pages() -> None:
    """Starts this program anew, with memory in pages of 2 MB instead of 4 KB.

    Linux gives them to all programs, to none, or to those that ask. glibc asks if it is
    told to when a program starts, by an environment variable, and at no other time.
    Steps are faster by a third then, and so is compiling: see docs/performance.md.

    Call it first of all. It returns where a restart would change nothing: it was made,
    `GLIBC_TUNABLES` says what is wanted, or the kernel does not wait to be asked.
    """
    tunables = os.environ.get(_TUNABLES, "")
    if _HUGE_PAGES in tunables or not sys.executable or not _gives_those_who_ask():
        return
    asked = ":".join(filter(None, [tunables, f"{_HUGE_PAGES}=1"]))
    command = [sys.executable, *sys.orig_argv[1:]]
    with contextlib.suppress(OSError):  # it is slower without, and that is all
        os.execve(sys.executable, command, os.environ | {_TUNABLES: asked})


def _gives_those_who_ask() -> bool:
    """Whether the C library is glibc and the kernel gives huge pages on request."""
    try:
        library = os.confstr("CS_GNU_LIBC_VERSION") or ""
        return library.startswith("glibc") and (
            "[madvise]" in _TRANSPARENT_HUGE_PAGES.read_text()
        )
    except (OSError, ValueError):
        return False


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
