"""Says on stderr how far something is: honest about time, quiet where nobody watches.

On a terminal one line is refreshed; elsewhere a line is printed every few seconds. What
is left is estimated from recent work: how it went long ago says little.
"""

from __future__ import annotations

import collections
import contextlib
import math
import sys
import time
from collections.abc import Callable, Iterator
from typing import TextIO

REFRESH_SECONDS = 0.5
LINE_SECONDS = 10.0
# Work is recent for so long, and as long as it is not so much.
RECENT_SECONDS = 60.0
RECENT_PARTS = 10


class Progress:
    """Counts what is done of a number of parts.

    A room that has more to say than that overrides `_words` or `_line`, and
    `_shows_at_once` where the first line is not to wait.
    """

    _shows_at_once = False

    def __init__(
        self,
        what: str,
        total: int,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        """Says nothing yet.

        Args:
          what: what is counted: "shards".
          total: how many there are.
          stream: where to write; stderr by default.
          clock: tells the time, in seconds.
        """
        self._what = what
        self._total = total
        self._stream = stream or sys.stderr
        self._clock = clock
        self._terminal = self._stream.isatty()
        self._open_line = False
        self._started = clock()
        self._shown = -math.inf if self._shows_at_once else self._started
        self.begin(0, 0.0)

    def begin(self, done: int, elapsed: float) -> None:
        """Estimates from here on: what was done before went at another pace."""
        self._marks = collections.deque([(elapsed, done)])

    def show(self, done: int, elapsed: float | None = None, last: bool = False) -> None:
        """Shows how far it is, unless that was shown a moment ago.

        Args:
          done: parts done.
          elapsed: seconds of work so far; all since the start by default.
          last: whether to show it in any case.
        """
        now = self._clock()
        wait = REFRESH_SECONDS if self._terminal else LINE_SECONDS
        if now - self._shown < wait and not last:
            return
        self._shown = now
        seconds = now - self._started if elapsed is None else elapsed
        line = self._line(done, seconds, self._left(done, seconds))
        start, end = ("\r\033[K", "") if self._terminal else ("", "\n")
        print(start + line, end=end, file=self._stream, flush=True)
        self._open_line = self._terminal

    def say(self, text: str) -> None:
        """Writes a line of its own."""
        self.end_line()
        print(text, file=self._stream, flush=True)

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Announces a phase, and when it is over, how long it took."""
        started = self._clock()
        if self._terminal:
            self.end_line()
            print(f"{name} ...", end="", file=self._stream, flush=True)
            self._open_line = True
        try:
            yield
        except BaseException:
            self.end_line()
            raise
        seconds = self._clock() - started
        if self._terminal and self._open_line:
            print(f" {seconds:.1f} s", file=self._stream, flush=True)
            self._open_line = False
        else:
            self.say(f"{name}: {seconds:.1f} s")

    def end_line(self) -> None:
        """Ends the line on a terminal; it stays."""
        if self._open_line:
            print(file=self._stream, flush=True)
            self._open_line = False

    def erase_line(self) -> None:
        """Takes the line off a terminal."""
        if self._open_line:
            print("\r\033[K", end="", file=self._stream, flush=True)
            self._open_line = False

    def _left(self, done: int, elapsed: float) -> float | None:
        """Returns the seconds that the rest takes at the recent pace, if one is known.

        Recent is the last minute, or the last ten parts where these took longer: with
        fewer, the pace of parts that are done several at once says nothing.
        """
        marks = self._marks
        while (
            len(marks) > 1
            and elapsed - marks[1][0] >= RECENT_SECONDS
            and done - marks[1][1] >= RECENT_PARTS
        ):
            marks.popleft()
        if done > marks[-1][1]:
            marks.append((elapsed, done))
        since, before = marks[0]
        if done == before:
            return None
        return (elapsed - since) / (done - before) * (self._total - done)

    def _line(self, done: int, elapsed: float, left: float | None) -> str:
        """Returns the line."""
        parts = [f"{self._what} {done:,}/{self._total:,} {done / self._total:4.0%}"]
        parts += self._words(elapsed)
        parts.append(f"{duration(elapsed)} elapsed")
        if left is not None:
            parts.append(f"{duration(left)} left")
        return "  ".join(parts)

    def _words(self, elapsed: float) -> list[str]:
        """Returns what is said between the parts done and the time."""
        del elapsed
        return []


def duration(seconds: float) -> str:
    """Returns "1:02:03", or "2:03" below an hour."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
