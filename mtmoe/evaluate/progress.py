"""Says on stderr how far an evaluation is and how long the rest may take."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

TERMINAL_SECONDS = 0.5
LINE_SECONDS = 10.0


class BatchProgress:
    """On a terminal one line refreshed; elsewhere a line every ten seconds."""

    def __init__(
        self,
        what: str,
        total: int,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        """Starts the clock.

        Args:
          what: what is being done, e.g. "evaluating step 1200".
          total: batches to come.
          stream: where to write; stderr by default.
          clock: seconds, from any origin.
        """
        self._what = what
        self._total = total
        self._stream = stream or sys.stderr
        self._clock = clock
        self._terminal = self._stream.isatty()
        self._started = clock()
        self._shown = self._started

    def done(self, batches: int) -> None:
        """Shows that so many batches are done, unless a line was shown just now."""
        now = self._clock()
        last = batches == self._total
        wait = TERMINAL_SECONDS if self._terminal else LINE_SECONDS
        if not last and now - self._shown < wait:
            return
        self._shown = now
        spent = now - self._started
        left = spent / batches * (self._total - batches)
        line = f"{self._what}: {batches:,} of {self._total:,} batches, "
        line += f"{spent:.0f} s" if last else f"about {left:.0f} s left"
        start, end = (
            ("\r\033[K", "\n" if last else "") if self._terminal else ("", "\n")
        )
        print(start + line, end=end, file=self._stream, flush=True)
