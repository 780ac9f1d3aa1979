"""How far `mtmoe cache` is."""

from __future__ import annotations

from mtmoe.progress import Progress


class CachingProgress(Progress):
    """Counts shards, and the examples in them."""

    _examples = 0

    def show_examples(self, done: int, examples: int) -> None:
        """Shows how far it is, unless that was shown a moment ago.

        Args:
          done: shards done.
          examples: of shards done and begun.
        """
        self._examples = examples
        self.show(done)

    def _words(self, elapsed: float) -> list[str]:
        rate = self._examples / max(elapsed, 1e-9)
        return [f"{self._examples:,} examples, {rate:,.0f}/s"]
