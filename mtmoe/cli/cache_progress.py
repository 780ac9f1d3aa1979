"""Says on stderr how far `mtmoe cache` is: one line on a terminal, a few elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

from mtmoe.train.progress import LINE_SECONDS, REFRESH_SECONDS, duration


class CachingProgress:
    """Counts what is done of a number of parts, and what came of it."""

    def __init__(
        self,
        what: str,
        total: int,
        counted: str = "",
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        """Says nothing yet.

        Args:
          what: what the parts are, in the plural: "shards".
          total: how many there are.
          counted: what is counted beside them, if anything: "examples".
          stream: where to write; stderr by default.
          clock: tells the time, in seconds.
        """
        self._what = what
        self._total = total
        self._counted = counted
        self._stream = stream or sys.stderr
        self._clock = clock
        self._terminal = self._stream.isatty()
        self._started = clock()
        self._shown = self._started if not self._terminal else -float("inf")
        self._open_line = False

    def show(self, done: int, count: int = 0) -> None:
        """Shows how far it is, unless that was shown a moment ago.

        Args:
          done: parts done.
          count: what was counted, in parts done and begun.
        """
        now = self._clock()
        wait = REFRESH_SECONDS if self._terminal else LINE_SECONDS
        if now - self._shown < wait:
            return
        self._shown = now
        line = self._line(done, count, now - self._started)
        if self._terminal:
            print(f"\r\033[K{line}", end="", file=self._stream, flush=True)
            self._open_line = True
        else:
            print(line, file=self._stream, flush=True)

    def end(self) -> None:
        """Ends the line on a terminal."""
        if self._open_line:
            print("\r\033[K", end="", file=self._stream, flush=True)
            self._open_line = False

    def _line(self, done: int, count: int, seconds: float) -> str:
        parts = [f"{self._what} {done:,}/{self._total:,} {done / self._total:4.0%}"]
        if self._counted:
            rate = count / max(seconds, 1e-9)
            parts.append(f"{count:,} {self._counted}, {rate:,.0f}/s")
        parts.append(f"{duration(seconds)} elapsed")
        if done:
            left = seconds / done * (self._total - done)
            parts.append(f"{duration(left)} left")
        return "  ".join(parts)
