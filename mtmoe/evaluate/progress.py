"""How far an evaluation is, and how long the rest may take."""

from __future__ import annotations

from mtmoe.progress import Progress


class BatchProgress(Progress):
    """Counts batches; the last is always shown."""

    def done(self, batches: int) -> None:
        """Shows that so many batches are done, unless a line was shown just now."""
        last = batches == self._total
        self.show(batches, last=last)
        if last:
            self.end_line()

    def _line(self, done: int, elapsed: float, left: float | None) -> str:
        line = f"{self._what}: {done:,} of {self._total:,} batches, "
        if done == self._total or left is None:
            return line + f"{elapsed:.0f} s"
        return line + f"about {left:.0f} s left"
