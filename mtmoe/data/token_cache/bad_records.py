"""Damaged records: skipped and counted by task, up to a quota.

Bad examples that were left out when a task was cached are counted with them, but have a
quota of their own (`bad_examples.quota`).
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping

import gin

from mtmoe.errors import DamagedDataError, DamagedRecordError
from mtmoe.ranges import Natural, check_number


@gin.configurable("bad_records")
class BadRecords:
    """Distinct damaged records met so far, by task; gin name `bad_records`.

    Thread-safe. A record is known by the last two parts of its file's path and its
    offset, so that it counts once however often it is met, after a resume too.
    """

    def __init__(self, quota: Natural = 10):
        """Starts without damaged records.

        Args:
          quota: damaged records a task may have; 0 makes the first one an error.

        Raises:
          RangeError: the quota is out of range.
        """
        check_number("bad_records.quota", quota, Natural)
        self.quota = quota
        self._places: dict[str, set[str]] = {}
        self._left_out: dict[str, int] = {}
        self._lock = threading.Lock()

    def note(self, task: str, error: DamagedRecordError) -> None:
        """Counts a damaged record, if it was not counted before.

        Args:
          task: name of the task it belongs to.
          error: where it is and what is wrong with it.

        Raises:
          DamagedDataError: the task has more damaged records than the quota.
        """
        place = "/".join(error.path.split("/")[-2:]) + f":{error.offset}"
        with self._lock:
            places = self._places.setdefault(task, set())
            places.add(place)
            count = len(places)
        if count > self.quota:
            raise DamagedDataError(
                f"task {task!r} has {count} damaged records; bad_records.quota allows "
                f"{self.quota}. The last one: {error.path} at byte {error.offset}: "
                f"{error.reason}. `mtmoe cache --verify` lists them all; without its "
                "folder, the cache is made again"
            ) from error

    def note_left_out(self, task: str, count: int) -> None:
        """Counts the bad examples that are not in a task's cache."""
        if count:
            with self._lock:
                self._left_out[task] = count

    @property
    def counts(self) -> dict[str, int]:
        """Damaged records and bad examples by task, tasks without any left out."""
        with self._lock:
            return {
                task: len(self._places.get(task, ())) + self._left_out.get(task, 0)
                for task in dict.fromkeys([*self._places, *self._left_out])
            }

    def state(self) -> dict[str, list[str]]:
        """Returns what a checkpoint keeps: `file:offset` of each record, by task."""
        with self._lock:
            return {task: sorted(places) for task, places in self._places.items()}

    def take_over(self, states: Iterable[Mapping[str, list[str]]]) -> None:
        """Counts the records that other processes met, too.

        Args:
          states: what `state()` gave there.

        Raises:
          DamagedDataError: together a task has more damaged records than the quota.
        """
        with self._lock:
            for state in states:
                for task, places in state.items():
                    self._places.setdefault(task, set()).update(places)
            counts = {task: len(places) for task, places in self._places.items()}
        for task, count in sorted(counts.items()):
            if count > self.quota:
                raise DamagedDataError(
                    f"task {task!r} has {count} damaged records in all processes "
                    f"together; bad_records.quota allows {self.quota}. `mtmoe cache "
                    "--verify` lists them; without its folder, the cache is made again"
                )

    def restore(self, state: Mapping[str, list[str]]) -> None:
        """Takes over the records that `state()` gave, forgetting those met here."""
        with self._lock:
            self._places = {task: set(places) for task, places in state.items()}
