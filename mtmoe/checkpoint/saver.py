"""Saves while training goes on: one thread a process, one save at a time."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from mtmoe.checkpoint import store
from mtmoe.checkpoint.pieces import Piece
from mtmoe.checkpoint.processes import ALONE
from mtmoe.engine.processes.alone import Processes

Snapshot = Callable[[], Mapping[str, np.ndarray] | Iterable[Piece]]


class AsyncSaver:
    """A context in which checkpoints are written by a thread.

    What goes wrong in the thread is raised by the next call of `check`, `save` or
    `wait`, in the thread of the caller. Leaving the context waits for the thread.

    Attributes:
      saved: step of the newest checkpoint, 0 if there is none.
      stalled_seconds: how long `save` has kept its callers, in all.
    """

    def __init__(
        self,
        directory: Path | str,
        keep: int,
        saved: int = 0,
        processes: Processes = ALONE,
    ):
        """Writes nothing yet.

        Args:
          directory: the folder of checkpoints.
          keep: how many are kept, as `store.prune` counts.
          saved: step of the newest checkpoint that is there.
          processes: all that save; each has such a context.
        """
        self._directory = directory
        self._keep = keep
        self._processes = processes
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self.saved = saved
        self.stalled_seconds = 0.0

    def save(
        self,
        step: int,
        snapshot: Snapshot,
        metadata: Mapping[str, Any],
        check: Callable[[str, np.ndarray], None] | None = None,
        then: Callable[[], None] = lambda: None,
    ) -> None:
        """Takes a copy of the values, and lets the thread write it.

        An earlier save is waited for first, so that there is one copy at a time.

        Args:
          step: the step the values belong to.
          snapshot: returns this process's pieces, in memory that nothing changes while
            they are written. It is called here and now: this is all that training
            waits for.
          metadata: plain JSON to keep with them.
          check: called by the thread with name and values of each piece before it is
            written; what it raises ends the save.
          then: called by the thread when the checkpoint is there and old ones are gone.

        Raises:
          MtmoeError: an earlier save failed.
        """
        started = time.monotonic()
        try:
            self.wait()
            taken = snapshot()
            values = taken if isinstance(taken, Mapping) else list(taken)
            kept = json.loads(json.dumps(metadata))  # the caller's may change
        finally:
            self.stalled_seconds += time.monotonic() - started

        def write() -> None:
            try:
                store.save(self._directory, step, values, kept, self._processes, check)
                self.saved = step
                store.prune(self._directory, self._keep, self._processes)
                then()
            except BaseException as error:  # raised again where the caller is
                self._error = error

        self._thread = threading.Thread(target=write, name=f"save step {step}")
        self._thread.start()

    def check(self) -> None:
        """Raises the error of a save that failed; costs nothing, waits for nothing.

        Raises:
          MtmoeError: a save failed; it is raised once.
        """
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def wait(self) -> None:
        """Waits for the save under way.

        Raises:
          MtmoeError: it failed.
        """
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self.check()

    def __enter__(self) -> AsyncSaver:
        """Returns itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Waits. An error of the thread is raised, or printed if there is another."""
        if error is None:
            self.wait()
            return
        try:
            self.wait()
        except Exception as second:
            print(f"mtmoe: {second}", file=sys.stderr)
