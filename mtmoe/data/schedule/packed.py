"""Which examples row r of training holds, when examples are packed: O(1) for any row.

The examples of a stage come in the order of its `Schedule`. They are cut into periods
of 262,144, and a period into blocks that are packed independently, so that no bin
outlives its block. Every period gives the same number C of rows, a few of them empty:
row r of a stage is row r mod C of its period r div C, whatever was read before, and
whatever the batch size.

Legend: N examples asked for, T tasks, F features, C rows of a period.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from mtmoe.data.ground.keys import fold, name_key
from mtmoe.data.ground.once import Once
from mtmoe.data.ground.token_rows import Int32Array, Int64Array
from mtmoe.data.schedule.fixed_rates import BLOCK_SIZE, BLOCKS_PER_PERIOD
from mtmoe.data.schedule.packed_period import (
    DEVIATIONS,
    PACKING_BLOCK,
    PackedPeriod,
    PackedRows,
    PeriodRows,
    lay_out_rows,
    pack_period,
)
from mtmoe.data.schedule.staged import StagedSchedule
from mtmoe.errors import ConfigError

SizesOf = Callable[[Int64Array, Int64Array], Int32Array]
"""Tokens of each feature [N, F] of the examples (tasks [N], counters [N])."""

PERIOD = BLOCK_SIZE * BLOCKS_PER_PERIOD
"""Examples after which every task has had its exact share."""

_KEPT_PERIODS = 4
_ROW_ORDER_KEY = name_key("packed_schedule.row_order")


class PackedSchedule:
    """Rows of packed examples; a pure function of the schedule and the sizes.

    A later stage begins at a row. Each of its tasks goes on behind the last example of
    the last block that the stage before has begun: what is left of that block, at most
    `PACKING_BLOCK` examples of all tasks together, is passed over.

    Periods are planned when they are first asked for, and the last few are kept. Safe
    to use from several threads; a period is planned once, however many ask for it.
    """

    def __init__(
        self,
        schedule: StagedSchedule,
        sizes: SizesOf,
        capacity: Sequence[int],
        open_bins: int,
    ):
        """Plans nothing yet.

        Args:
          schedule: order of the examples. Its stages' first rows are rows of packed
            examples here.
          sizes: tokens of each feature of examples given by the numbers of their tasks
            and their counters (epochs included), end of sequence included, trimmed
            to the capacity. An example without any token is in no row.
          capacity: tokens of each feature that a row holds; one feature or two.
          open_bins: bins of a block open at a time, at least 1.
        """
        self._schedule = schedule
        self._sizes = sizes
        self._capacity = np.asarray(capacity, np.int64)
        self._open_bins = open_bins
        self._packed: Once[tuple[int, int], PackedPeriod] = Once(kept=1)
        self._periods: Once[tuple[int, int], PeriodRows] = Once(kept=_KEPT_PERIODS)
        self._num_rows: Once[int, int] = Once()
        self._starts: Once[int, _StageStart] = Once()

    def rows(self, first: int, end: int) -> PackedRows:
        """Returns the examples of rows first <= row < end; some rows may be empty.

        Raises:
          ConfigError: a period of the data needs more rows than every period has.
        """
        parts: list[PackedRows] = []
        row = first
        while not parts or row < end:
            stage = self.stage(row)
            rows = self.rows_per_period(stage)
            period, offset = divmod(row - self._schedule.first_rows[stage], rows)
            stop = min(
                [end, row + rows - offset, *self._schedule.first_rows[stage + 1 :]]
            )
            part = self._period(stage, period).rows(offset, offset + stop - row)
            parts.append(part._replace(rows=part.rows + (row - first)))
            row = stop
        return PackedRows(*map(np.concatenate, zip(*parts, strict=True)))

    def rows_before(self, row: int) -> Int64Array:
        """Returns how many examples of each task [T] the rows before `row` hold.

        Examples without tokens, which no row holds, count once their period is over.
        """
        stage = self.stage(row)
        in_stage = row - self._schedule.first_rows[stage]
        return self._start(stage).held + self._held(stage, in_stage)

    def stage(self, row: int) -> int:
        """Returns the number of the stage that row `row` is in."""
        return self._schedule.stage(row)

    def rows_per_period(self, stage: int = 0) -> int:
        """Returns C of a stage, a few empty rows included; plans its first period.

        Raises:
          ConfigError: no example of that period has any token.
        """
        return self._num_rows.get(stage, partial(self._measure, stage))

    def _measure(self, stage: int) -> int:
        packed = self._pack(stage, 0)
        if packed.num_bins == 0:
            raise ConfigError(
                f"packing: none of the first {PERIOD} examples of stage {stage} has "
                "any token"
            )
        return packed.rows_of_every_period()

    def _held(self, stage: int, row: int) -> Int64Array:
        """Returns the examples of each task that a stage's first `row` rows hold."""
        period, offset = divmod(row, self.rows_per_period(stage))
        held_T = self._schedule.stage_rows_before(stage, period * PERIOD)
        if offset == 0:
            return held_T
        tasks_N = self._period(stage, period).rows(0, offset).tasks
        return held_T + np.bincount(tasks_N, minlength=len(held_T))

    def _start(self, stage: int) -> _StageStart:
        return self._starts.get(stage, partial(self._find_start, stage))

    def _find_start(self, stage: int) -> _StageStart:
        """Finds how far the stages before have come, whole blocks at a time."""
        if stage == 0:
            nothing_T = np.zeros(len(self._schedule.task_names), np.int64)
            return _StageStart(nothing_T, nothing_T)
        before = self._start(stage - 1)
        first_rows = self._schedule.first_rows
        rows = first_rows[stage] - first_rows[stage - 1]
        period, last_row = divmod(rows - 1, self.rows_per_period(stage - 1))
        blocks = self._period(stage - 1, period).blocks_begun(last_row)
        examples = period * PERIOD + blocks * PACKING_BLOCK
        return _StageStart(
            before.taken + self._schedule.stage_rows_before(stage - 1, examples),
            before.held + self._held(stage - 1, rows),
        )

    def _period(self, stage: int, period: int) -> PeriodRows:
        return self._periods.get((stage, period), partial(self._plan, stage, period))

    def _plan(self, stage: int, period: int) -> PeriodRows:
        rows = self.rows_per_period(stage)
        packed = self._pack(stage, period)
        if packed.num_bins > rows:
            raise ConfigError(
                f"packing: period {period} of stage {stage} needs {packed.num_bins} "
                f"rows; a period has {rows}, {DEVIATIONS} standard deviations more "
                "than the first one needed. The sizes of the examples change in the "
                "course of training: train without packing"
            )
        return lay_out_rows(packed, rows, fold(_ROW_ORDER_KEY, stage, period))

    def _pack(self, stage: int, period: int) -> PackedPeriod:
        start = self._start(stage)
        make = partial(self._pack_period, stage, period, start)
        return self._packed.get((stage, period), make)

    def _pack_period(self, stage: int, period: int, start: _StageStart) -> PackedPeriod:
        tasks_P, counters_P = self._schedule.stage_range(
            stage, period * PERIOD, (period + 1) * PERIOD
        )
        counters_P = counters_P + start.taken[tasks_P]
        return pack_period(
            tasks_P,
            counters_P,
            self._sizes(tasks_P, counters_P),
            self._capacity,
            self._open_bins,
        )


class _StageStart(NamedTuple):
    """What is behind a stage's first row, by task [T].

    Attributes:
      taken: examples taken from each task; its next one has that counter.
      held: examples that rows hold.
    """

    taken: Int64Array
    held: Int64Array
