"""Explains why JAX ends a process because another one died.

JAX's coordination service notices when a process of the run dies, and ends all others
from C++, with a stack trace on stderr and `abort`, without calling Python. So what C++
writes to stderr is read here first, and a handler of the signal explains it.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

_HEADER = re.compile(rb"[IWEF]\d{4} \d\d:\d\d:\d\d")
_COORDINATION = re.compile(rb"[EF]\d{4} .*(coordination_service|client\.h:)")
# What Gloo writes, part by part, each time it has connected.
_GLOO = re.compile(
    rb"(\[Gloo\] Rank |\d+| is connected to | peer ranks\. |"
    rb"Expected number of connected peer ranks is : )*\n"
)
_FATAL = b"JAX distributed service detected fatal errors"
_DEAD_TASKS = re.compile(r"unhealthy[^\n]*:((?:\s*(?:/job:\S*task:)?\d+)+)")
_LEADER = re.compile(r"Failed to send RPC to coordination service|leader task was")
_QUIET_SECONDS = 0.3


class NativeErrors:
    """Reads what C++ code writes to stdout and stderr, and passes it on to stderr.

    It holds back lines about the coordination service and drops those of Gloo.
    `sys.stdout` and `sys.stderr` bypass it.
    """

    def __init__(self, only_errors: bool = False):
        """Takes both descriptors over; `only_errors` drops notes and warnings too."""
        self._flush()
        self._only_errors = only_errors
        self._held: list[bytes] = []
        self._descriptors = {number: os.dup(number) for number in (1, 2)}
        self._terminal = self._descriptors[2]
        self._streams = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = (
            os.fdopen(os.dup(kept), "w", 1, "utf-8", "backslashreplace")
            for kept in self._descriptors.values()
        )
        read_end, write_end = os.pipe()
        os.dup2(write_end, 1)
        os.dup2(write_end, 2)
        os.close(write_end)
        threading.Thread(target=self._read, args=(read_end,), daemon=True).start()

    @property
    def fatal_text(self) -> str:
        """The lines held back, if they say why the process is ended; else empty."""
        time.sleep(_QUIET_SECONDS)  # the reader may be behind
        text = b"".join(self._held)
        return text.decode(errors="replace") if _FATAL in text else ""

    def write(self, text: str) -> None:
        """Writes to the original stderr."""
        os.write(self._terminal, text.encode(errors="replace"))

    def close(self) -> None:
        """Gives the descriptors back."""
        self._flush()
        for number, kept in self._descriptors.items():
            os.dup2(kept, number)
        sys.stdout, sys.stderr = self._streams

    @staticmethod
    def _flush() -> None:
        sys.stdout.flush()
        sys.stderr.flush()

    def _read(self, read_end: int) -> None:
        hold = False
        with os.fdopen(read_end, "rb") as lines:
            for line in lines:
                if _HEADER.match(line):
                    hold = bool(_COORDINATION.match(line))
                if hold:
                    self._held.append(line)
                elif is_of_gloo(line):
                    continue
                elif not (self._only_errors and line[:1] in (b"I", b"W")):
                    os.write(self._terminal, line)


def is_of_gloo(line: bytes) -> bool:
    """Whether a line is Gloo's, or made of parts of two lines that threads mixed."""
    return line.startswith(b"[Gloo]") or bool(_GLOO.fullmatch(line))


def dead_processes(fatal_text: str) -> list[int]:
    """Returns the numbers of the processes that JAX says are gone, if it says any."""
    found = _DEAD_TASKS.search(fatal_text)
    if found:
        return sorted(int(n) for n in re.findall(r"(?:task:|\s)(\d+)", found[1]))
    return [0] if _LEADER.search(fatal_text) else []


class AbortHandler:
    """Calls a function when C++ aborts the process, in whatever thread that is."""

    def __init__(self, function: Callable[[], None]):
        """Installs it; unless `function` ends the process, `abort` does."""
        kind = ctypes.CFUNCTYPE(None, ctypes.c_int)
        self._handler: Any = kind(lambda number: function())
        self._signal = ctypes.CDLL(None).signal
        self._signal.argtypes = [ctypes.c_int, ctypes.c_void_p]
        self._signal.restype = ctypes.c_void_p
        address = ctypes.cast(self._handler, ctypes.c_void_p)
        self._previous = self._signal(signal.SIGABRT, address)

    def close(self) -> None:
        """Puts back what was installed before."""
        self._signal(signal.SIGABRT, self._previous)
