"""How far a run is, in steps and in seconds spent training.

The idea of counting only time spent training is big_vision's Chrono.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TextIO

from mtmoe.progress import Progress


class Chrono:
    """Seconds spent training, start-up, checkpoints and interruptions not counted."""

    def __init__(
        self, seconds: float = 0.0, clock: Callable[[], float] = time.monotonic
    ):
        """Starts stopped, at the seconds that an earlier process has counted."""
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


class TrainingProgress(Progress):
    """The lines a person sees of a run."""

    _shows_at_once = True

    def __init__(
        self,
        steps: int,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        """Says nothing yet; `steps` are those of the whole run."""
        super().__init__("step", steps, stream, clock)
        self._metrics: Mapping[str, float] = {}

    def metrics(self, metrics: Mapping[str, float]) -> None:
        """Takes the newest metrics; the next `step` shows them."""
        self._metrics = metrics

    def step(self, step: int, elapsed: float) -> None:
        """Shows step and seconds of training, unless they were shown a moment ago."""
        self.show(step, elapsed, last=step == self._total)

    def _words(self, elapsed: float) -> list[str]:
        del elapsed
        if not self._metrics:
            return []
        speed = f"{self._metrics['tokens_per_second']:,.0f} tokens/s"
        if "dropped_fraction" in self._metrics:
            speed += f" ({self._metrics['dropped_fraction']:.1%} dropped)"
        return [f"loss {self._metrics['loss']:.3f}", speed]
