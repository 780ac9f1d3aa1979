"""How a process keeps memory; imports no TensorFlow."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import sys
from pathlib import Path

# Of malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_NEVER = 2**31 - 1

_TUNABLES = "GLIBC_TUNABLES"
_HUGE_PAGES = "glibc.malloc.hugetlb"
_PAST_THE_CACHES = "glibc.cpu.x86_non_temporal_threshold"
_TRANSPARENT_HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")

_kept = False


def restart_with_tunables() -> None:
    """Starts this program anew, with glibc told how to ask for memory and to copy it.

    glibc is told by an environment variable when a program starts, and at no other
    time:

    * Memory is asked for in pages of 2 MB instead of 4 KB, where Linux gives them to
      programs that ask. Steps are faster by up to a third then, and so is compiling.
    * On x86, copies of 8 MB or more go past the caches. Virtual machines show a cache
      far larger than a program's share of it, and glibc then lets larger copies push
      out everything else, and reads what is to be overwritten: half the speed.

    Call it first of all. It returns where a restart would change nothing: it was made,
    `GLIBC_TUNABLES` says what is wanted, or the C library is another. See
    docs/performance.md.
    """
    said = os.environ.get(_TUNABLES, "")
    missing = [
        f"{name}={value}" for name, value in _wanted().items() if name not in said
    ]
    if not missing or not sys.executable:
        return
    tunables = ":".join(filter(None, [said, *missing]))
    command = [sys.executable, *sys.orig_argv[1:]]
    with contextlib.suppress(OSError):  # it is slower without, and that is all
        os.execve(sys.executable, command, os.environ | {_TUNABLES: tunables})


def _wanted() -> dict[str, str]:
    """Returns glibc's tunables that have an effect here."""
    try:
        library = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (OSError, ValueError):
        return {}
    if not library.startswith("glibc"):
        return {}
    wanted = {}
    with contextlib.suppress(OSError):
        if "[madvise]" in _TRANSPARENT_HUGE_PAGES.read_text():
            wanted[_HUGE_PAGES] = "1"
    if platform.machine() == "x86_64":
        wanted[_PAST_THE_CACHES] = hex(8 * 2**20)
    return wanted


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
