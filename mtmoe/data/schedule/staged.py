"""A schedule that changes its rates at given rows, each task going on where it was.

Legend: S stages, T tasks, N rows.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence

import numpy as np

from mtmoe.data.ground.keys import fold, name_key
from mtmoe.data.ground.token_rows import Int64Array
from mtmoe.data.schedule.fixed_rates import Schedule

_STAGE_KEY = name_key("schedule.stage")


class StagedSchedule:
    """Block-deterministic mixtures one after the other.

    A stage's blocks begin at its first row, so that all that holds for a `Schedule`
    holds inside a stage. With a single stage it is that `Schedule`, row for row.

    Attributes:
      task_names: the tasks of all stages, in the order of their numbers.
      shares_ST: fraction of a stage's rows each task gets; rows sum to 1.
      first_rows: the row each stage begins at.
    """

    def __init__(self, stages: Sequence[tuple[int, Mapping[str, float]]], seed: int):
        """Fixes the counts of every block.

        Args:
          stages: (first row, positive rate of each task), by increasing rows from 0.
          seed: keys the order inside blocks; each stage's differs.

        Raises:
          ConfigError: a rate that a `Schedule` refuses.
        """
        self.first_rows = tuple(first_row for first_row, _ in stages)
        self._schedules = [
            Schedule(rates, seed if stage == 0 else int(fold(_STAGE_KEY, seed, stage)))
            for stage, (_, rates) in enumerate(stages)
        ]
        names = {name: None for _, rates in stages for name in rates}
        self.task_names = tuple(names if len(stages) == 1 else sorted(names))
        number_of = {name: number for number, name in enumerate(self.task_names)}
        self._numbers = [
            np.array([number_of[name] for name in schedule.task_names], np.int64)
            for schedule in self._schedules
        ]
        self.shares_ST = np.zeros((len(stages), len(names)))
        self._rows_before_ST = np.zeros((len(stages), len(names)), np.int64)
        for stage, schedule in enumerate(self._schedules):
            self.shares_ST[stage, self._numbers[stage]] = schedule.shares_T
            if stage:
                self._rows_before_ST[stage] = self._rows_of(
                    stage - 1, self.first_rows[stage]
                )

    def stage(self, row: int) -> int:
        """Returns the number of the stage that row `row` is in."""
        return bisect_right(self.first_rows, row) - 1

    def rows(self, first: int, end: int) -> tuple[Int64Array, Int64Array]:
        """Returns tasks and counters of rows first <= row < end, as `Schedule` does."""
        parts = [
            self._stage_rows(stage, first, end)
            for stage in range(self.stage(first), self.stage(end - 1) + 1)
        ]
        tasks = np.concatenate([tasks_N for tasks_N, _ in parts])
        return tasks, np.concatenate([counters_N for _, counters_N in parts])

    def rows_before(self, row: int) -> Int64Array:
        """Returns how many rows of each task [T] come before row `row`."""
        return self._rows_of(self.stage(row), row)

    def stage_range(
        self, stage: int, first: int, end: int
    ) -> tuple[Int64Array, Int64Array]:
        """Returns tasks and counters of rows counted from a stage's beginning.

        The stage's rows go on without end here, and its counters begin at 0.
        """
        tasks_N, counters_N = self._schedules[stage].rows(first, end)
        return self._numbers[stage][tasks_N], counters_N

    def stage_rows_before(self, stage: int, row: int) -> Int64Array:
        """Returns how many of a stage's first `row` rows are of each task [T]."""
        rows_T = np.zeros(len(self.task_names), np.int64)
        rows_T[self._numbers[stage]] = self._schedules[stage].rows_before(row)
        return rows_T

    def _stage_rows(
        self, stage: int, first: int, end: int
    ) -> tuple[Int64Array, Int64Array]:
        """Returns tasks and counters of those of the rows that are in a stage."""
        start = self.first_rows[stage]
        if stage + 1 < len(self.first_rows):
            end = min(end, self.first_rows[stage + 1])
        tasks_N, counters_N = self.stage_range(
            stage, max(first - start, 0), end - start
        )
        return tasks_N, counters_N + self._rows_before_ST[stage][tasks_N]

    def _rows_of(self, stage: int, end: int) -> Int64Array:
        """Returns the rows of each task before row `end`, which a stage reaches."""
        return self._rows_before_ST[stage] + self.stage_rows_before(
            stage, end - self.first_rows[stage]
        )
