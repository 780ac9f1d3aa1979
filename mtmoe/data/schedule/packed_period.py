"""A period of packed examples: which bin each is in, and which row each bin is.

Legend: P examples of a period, B its blocks, U its bins, C its rows, F features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mtmoe.data.ground.keys import UInt64Array, fold
from mtmoe.data.ground.token_rows import Int32Array, Int64Array
from mtmoe.data.schedule.packing import first_fit

PACKING_BLOCK = 4096
"""Examples packed together. Longer blocks have fewer bins left half empty at their
ends; of shorter ones more are packed at once, which is faster. Measured by
benchmarks/packing_fill.py."""

DEVIATIONS = 8
"""Standard deviations that the rows of a period are above what the first one needs."""


class PackedRows(NamedTuple):
    """The examples of a range of rows, by row and in a row by segment; each int64 [N].

    Attributes:
      rows: row of each example, counted from the first of the range.
      segments: place of each example in its row: 1, 2, ...
      tasks: number of its task.
      counters: how many examples the schedule has taken from that task before it.
    """

    rows: Int64Array
    segments: Int64Array
    tasks: Int64Array
    counters: Int64Array


@dataclass(frozen=True)
class PackedPeriod:
    """The bins of a period's examples.

    Attributes:
      tasks: number of the task of each example [P], in the schedule's order.
      counters: counter of each example [P].
      bins: bin of each example [P], numbered through the period; -1: without tokens.
      bins_per_block: [B].
    """

    tasks: Int64Array
    counters: Int64Array
    bins: Int64Array
    bins_per_block: Int64Array

    @property
    def num_bins(self) -> int:
        """U."""
        return int(self.bins_per_block.sum())

    def rows_of_every_period(self) -> int:
        """Returns C: the bins of this period and eight standard deviations more.

        The order of examples is random, so the blocks of a period are a sample of what
        any block needs. What all of them need together varies less than if they were
        drawn independently, as each task's examples are drawn without replacement.
        More rows than examples are never needed.
        """
        variance = len(self.bins_per_block) * np.var(self.bins_per_block, ddof=1)
        rows = self.num_bins + int(np.ceil(DEVIATIONS * np.sqrt(variance)))
        return min(rows, len(self.bins))


def pack_period(
    tasks_P: Int64Array,
    counters_P: Int64Array,
    sizes_PF: Int32Array,
    capacity: Int64Array,
    open_bins: int,
) -> PackedPeriod:
    """Packs the examples of a period, block by block.

    Args:
      tasks_P: number of the task of each example; P is a multiple of `PACKING_BLOCK`.
      counters_P: counter of each example.
      sizes_PF: tokens of each feature of each example.
      capacity: tokens of each feature that a row holds [F].
      open_bins: bins of a block open at a time.
    """
    sizes_BNF = sizes_PF.reshape(-1, PACKING_BLOCK, len(capacity))
    bins_BN, num_bins_B = first_fit(sizes_BNF, capacity.tolist(), open_bins)
    bins_per_block = num_bins_B.astype(np.int64)
    first_bin_B = np.cumsum(bins_per_block) - bins_per_block
    bins_of_period_BN = np.where(bins_BN < 0, -1, bins_BN + first_bin_B[:, None])
    return PackedPeriod(
        tasks_P,
        counters_P,
        bins_of_period_BN.ravel(),
        bins_per_block,
    )


@dataclass(frozen=True)
class PeriodRows:
    """The rows of a period; its examples are sorted by row.

    Attributes:
      tasks: number of the task of each example.
      counters: counter of each example.
      bounds: [C + 1]; row r holds the examples bounds[r] <= i < bounds[r + 1].
      block_rows: the row in which each block begins [B].
    """

    tasks: Int32Array
    counters: Int64Array
    bounds: Int64Array
    block_rows: Int64Array

    def rows(self, first: int, end: int) -> PackedRows:
        """Returns the examples of rows first <= row < end of the period."""
        bounds = self.bounds[first : end + 1]
        examples = np.arange(bounds[0], bounds[-1])
        rows = np.repeat(np.arange(end - first), np.diff(bounds))
        return PackedRows(
            rows,
            examples - bounds[rows] + 1,
            self.tasks[examples].astype(np.int64),
            self.counters[examples],
        )

    def blocks_begun(self, row: int) -> int:
        """Returns how many blocks begin in a row before `row`, or in it."""
        return int(np.searchsorted(self.block_rows, row, side="right"))


def lay_out_rows(packed: PackedPeriod, rows: int, key: npt.ArrayLike) -> PeriodRows:
    """Spreads the bins of a period evenly over its `rows` rows, at least as many.

    The bins of a block come in an order shuffled by `key`, a uint64 that stands for the
    period: those opened last are the ones that stay half empty, and a batch should have
    its share of them.
    """
    bins_per_block, num_bins = packed.bins_per_block, max(packed.num_bins, 1)
    block_U = np.repeat(np.arange(len(bins_per_block)), bins_per_block)
    shuffle_U: UInt64Array = fold(key, np.arange(packed.num_bins))
    row_U = np.empty(packed.num_bins, np.int64)
    row_U[np.lexsort((shuffle_U, block_U))] = (
        np.arange(packed.num_bins) * rows // num_bins
    )
    held = np.flatnonzero(packed.bins >= 0)
    row_of_held = row_U[packed.bins[held]]
    by_row = np.argsort(row_of_held, kind="stable")
    sizes_C = np.bincount(row_of_held, minlength=rows)
    return PeriodRows(
        packed.tasks[held[by_row]].astype(np.int32),
        packed.counters[held[by_row]],
        np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes_C)]),
        (np.cumsum(bins_per_block) - bins_per_block) * rows // num_bins,
    )
