"""Processes stood for by threads: they gather plain JSON as real ones do."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any


class _Meeting:
    def __init__(self, count: int):
        self.texts = [""] * count
        self.tags: list[Any] = [None] * count
        self.barrier = threading.Barrier(count, timeout=20)


class ThreadProcess:
    """One of several; see `mtmoe.engine.processes.Processes`."""

    def __init__(self, index: int, count: int, meeting: _Meeting):
        self.index, self.count = index, count
        self._meeting = meeting

    def gather(self, tag: str, value: Any) -> list[Any]:
        meeting = self._meeting
        meeting.texts[self.index], meeting.tags[self.index] = json.dumps(value), tag
        meeting.barrier.wait()
        texts = list(meeting.texts)
        assert set(meeting.tags) == {tag}, "processes must make the same calls"
        meeting.barrier.wait()
        return [json.loads(text) for text in texts]

    def leave(self) -> None:
        """Ends every wait of the others, as the end of a process would."""
        self._meeting.barrier.abort()


def run(
    count: int, action: Callable[[ThreadProcess], Any]
) -> list[Any | BaseException]:
    """Runs an action in each of `count` processes; returns results or errors."""
    meeting = _Meeting(count)
    results: list[Any] = [None] * count

    def body(index: int) -> None:
        try:
            results[index] = action(ThreadProcess(index, count, meeting))
        except BaseException as error:
            results[index] = error

    threads = [threading.Thread(target=body, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results
