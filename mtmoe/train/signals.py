"""Ctrl-C and SIGTERM: the first asks to stop after this step, a second ends at once."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopSignal:
    """A context in which SIGINT and SIGTERM set `received` and do no more.

    The loop looks at `received` once a step. A second signal ends the process at once,
    with the status a shell gives to that signal, even while TensorFlow computes: a
    thread reads the numbers the interpreter writes down when a signal arrives.

    Attributes:
      received: number of the signal that asked to stop, None so far.
    """

    def __init__(self, on_received: Callable[[int], None] | None = None) -> None:
        """Installs nothing yet.

        `on_received` is called with the first signal's number, in a thread of its own.
        """
        self.received: int | None = None
        self._on_received = on_received
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> StopSignal:
        """Takes over both signals; only a process's main thread can."""
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._previous_descriptor = signal.set_wakeup_fd(
            self._writer.fileno(), warn_on_full_buffer=False
        )
        for number in _SIGNALS:
            self._previous[number] = signal.signal(number, self._asked)
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Gives both signals back."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._previous_descriptor)
        self._writer.close()  # ends the thread

    def _asked(self, number: int, frame: FrameType | None) -> None:
        """Does nothing: the thread has heard it, and perhaps long before."""

    def _watch(self) -> None:
        with self._reader:
            while received := self._reader.recv(1):
                number = received[0]
                if number not in _SIGNALS:
                    continue
                if self.received is not None:
                    os._exit(128 + number)
                self.received = number
                if self._on_received is not None:
                    self._on_received(number)
                print(
                    "\nmtmoe: finishing this step, then saving; "
                    "a second signal ends at once",
                    file=sys.stderr,
                    flush=True,
                )
