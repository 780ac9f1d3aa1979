"""Says on stderr how far a run is: honest about time, quiet where nobody watches.

On a terminal one line is refreshed; elsewhere a line is printed every few seconds.
The idea of counting only time spent training is big_vision's Chrono.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TextIO

REFRESH_SECONDS = 0.5
LINE_SECONDS = 10.0


class Chrono:
    """Seconds spent training, start-up, checkpoints and interruptions not counted."""

    def __init__(
        self, seconds: float = 0.0, clock: Callable[[], float] = time.monotonic
    ):
        """Starts stopped.

        Args:
          seconds: what an earlier process of the same run has counted.
          clock: tells the time, in seconds.
        """
        self._seconds = seconds
        self._clock = clock
        self._since: float | None = None

    @property
    def seconds(self) -> float:
        """Seconds counted so far."""
        running = 0.0 if self._since is None else self._clock() - self._since
        return self._seconds + running

    def start(self) -> None:
        """Counts from now on."""
        self._since = self._clock()

    @contextlib.contextmanager
    def pause(self) -> Iterator[None]:
        """Does not count what happens inside."""
        self._seconds, self._since = self.seconds, None
        yield
        self.start()


class Progress:
    """The lines a person sees."""

    def __init__(
        self,
        steps: int,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        """Says nothing yet.

        Args:
          steps: steps of the whole run.
          stream: where to write; stderr by default.
          clock: tells the time, in seconds.
        """
        self._steps = steps
        self._stream = stream or sys.stderr
        self._clock = clock
        self._terminal = self._stream.isatty()
        self._metrics: Mapping[str, float] = {}
        self._shown = -float("inf")
        self._open_line = False

    def say(self, text: str) -> None:
        """Writes a line of its own."""
        self._end_line()
        print(text, file=self._stream, flush=True)

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Announces a phase, and when it is over, how long it took."""
        started = self._clock()
        if self._terminal:
            self._end_line()
            print(f"{name} ...", end="", file=self._stream, flush=True)
            self._open_line = True
        try:
            yield
        except BaseException:
            self._end_line()
            raise
        seconds = self._clock() - started
        if self._terminal and self._open_line:
            print(f" {seconds:.1f} s", file=self._stream, flush=True)
            self._open_line = False
        else:
            self.say(f"{name}: {seconds:.1f} s")

    def metrics(self, metrics: Mapping[str, float]) -> None:
        """Takes the newest metrics; the next `step` shows them."""
        self._metrics = metrics

    def step(self, step: int, elapsed: float, left: float) -> None:
        """Shows where the run is, unless it was shown a moment ago.

        Args:
          step: steps done.
          elapsed: seconds of training so far.
          left: seconds of training still to come, as far as is known.
        """
        now = self._clock()
        wait = REFRESH_SECONDS if self._terminal else LINE_SECONDS
        if now - self._shown < wait and step < self._steps:
            return
        self._shown = now
        line = self._line(step, elapsed, left)
        if self._terminal:
            print(f"\r\033[K{line}", end="", file=self._stream, flush=True)
            self._open_line = True
        else:
            print(line, file=self._stream, flush=True)

    def _line(self, step: int, elapsed: float, left: float) -> str:
        parts = [f"step {step:,}/{self._steps:,} {step / self._steps:4.0%}"]
        if self._metrics:
            parts.append(f"loss {self._metrics['loss']:.3f}")
            speed = f"{self._metrics['tokens_per_second']:,.0f} tokens/s"
            if "dropped_fraction" in self._metrics:
                speed += f" ({self._metrics['dropped_fraction']:.1%} dropped)"
            parts.append(speed)
        parts.append(f"{duration(elapsed)} elapsed")
        parts.append(f"{duration(left)} left")
        return "  ".join(parts)

    def _end_line(self) -> None:
        if self._open_line:
            print(file=self._stream, flush=True)
            self._open_line = False


def duration(seconds: float) -> str:
    """Returns "1:02:03", or "2:03" below an hour."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
