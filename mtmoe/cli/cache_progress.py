"""How far `mtmoe cache` is."""

from __future__ import annotations

from mtmoe.progress import Progress


class CachingProgress(Progress):
    """Counts shards, and the examples in them."""

    _examples = 0

    def show_examples(self, done: int, examples: int) -> None:
        """Shows shards done and examples, unless they were shown a moment ago."""
        self._examples = examples
        self.show(done)

    def _words(self, elapsed: float) -> list[str]:
        rate = self._examples / max(elapsed, 1e-9)
        return [f"{self._examples:,} examples, {rate:,.0f}/s"]
