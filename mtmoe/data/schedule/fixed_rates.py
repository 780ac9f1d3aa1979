"""Which task, and which of its rows, supplies row r of training: closed forms only.

Rows are numbered from 0 over the whole run; row `step * batch_size + i` is row i of a
batch. They come in blocks. Each block holds an integer number of rows of every task, at
most one away from its share, in an order shuffled by (seed, block), as in Levanter's
block-deterministic mixtures. Counts differ from block to block so that over one period
of blocks each task gets its largest-remainder count exactly; a task too small for one
row a block still gets its rows.

Legend: K block size, P blocks a period, T tasks, B batch, Q rounds of a permutation.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from mtmoe.data.ground.keys import fold, fold_onto, name_key
from mtmoe.data.ground.token_rows import Int64Array
from mtmoe.errors import ConfigError

BLOCK_SIZE = 1024
BLOCKS_PER_PERIOD = 256
_FEISTEL_ROUNDS = 6
_SHUFFLE_KEY = name_key("schedule.shuffle")
_PERMUTATION_KEY = name_key("schedule.permutation")


class Schedule:
    """A block-deterministic mixture of tasks.

    Attributes:
      task_names: the tasks, in the order of their numbers.
      shares_T: fraction of all rows each task gets over a period; sums to 1.
    """

    def __init__(self, rates: Mapping[str, float], seed: int):
        """Fixes the counts of every block.

        Args:
          rates: positive mixing rate of each task, in any unit.
          seed: keys the order inside blocks.

        Raises:
          ConfigError: no task, or a rate so small that its task would get no row in a
            period.
        """
        self.task_names = tuple(rates)
        self._seed = seed
        self._rows_per_period_T = _largest_remainder(
            rates, BLOCK_SIZE * BLOCKS_PER_PERIOD
        )
        self.shares_T = self._rows_per_period_T / self._rows_per_period_T.sum()
        counts_PT = _spread_over_blocks(self._rows_per_period_T)
        self._counts_PT = counts_PT
        self._counts_before_PT = np.cumsum(counts_PT, axis=0) - counts_PT

    def rows_before(self, row: int) -> Int64Array:
        """Returns how many rows of each task [T] come before row `row`."""
        block, offset = divmod(row, BLOCK_SIZE)
        tasks_K, _ = self._block(block)
        in_block_T = np.bincount(tasks_K[:offset], minlength=len(self.task_names))
        return self._rows_before_block(block) + in_block_T

    def rows(self, first: int, end: int) -> tuple[Int64Array, Int64Array]:
        """Returns what rows first <= row < end hold; the cost depends on neither.

        Returns:
          tasks_N: number of the task that supplies each row.
          counters_N: how many rows that task has supplied before it, in the whole run.
        """
        blocks = range(first // BLOCK_SIZE, (end - 1) // BLOCK_SIZE + 1)
        parts = [self._block(block) for block in blocks]
        tasks = np.concatenate([tasks_K for tasks_K, _ in parts])
        counters = np.concatenate([counters_K for _, counters_K in parts])
        window = slice(first - blocks[0] * BLOCK_SIZE, end - blocks[0] * BLOCK_SIZE)
        return tasks[window], counters[window]

    def _block(self, block: int) -> tuple[Int64Array, Int64Array]:
        """Returns tasks_K and counters_K of one block, in training order."""
        counts_T = self._counts_PT[block % BLOCKS_PER_PERIOD]
        slots_K = np.repeat(np.arange(len(counts_T)), counts_T)
        shuffle_K = fold(_SHUFFLE_KEY, self._seed, block, np.arange(BLOCK_SIZE))
        tasks_K = slots_K[np.argsort(shuffle_K, kind="stable")]
        by_task_K = np.argsort(tasks_K, kind="stable")
        first_T = np.cumsum(counts_T) - counts_T
        occurrence_K = np.empty(BLOCK_SIZE, np.int64)
        occurrence_K[by_task_K] = np.arange(BLOCK_SIZE) - first_T[slots_K]
        return tasks_K, self._rows_before_block(block)[tasks_K] + occurrence_K

    def _rows_before_block(self, block: int) -> Int64Array:
        period, phase = divmod(block, BLOCKS_PER_PERIOD)
        return period * self._rows_per_period_T + self._counts_before_PT[phase]


def permuted_index(
    seed: int,
    task: npt.ArrayLike,
    epoch: npt.ArrayLike,
    position: npt.ArrayLike,
    size: npt.ArrayLike,
) -> Int64Array:
    """Returns the row at `position` of a task's shuffled epoch, in O(1) memory.

    For fixed (seed, task, epoch, size) a bijection of [0, size): a balanced Feistel
    network (Luby and Rackoff 1988) on the smallest domain of 4^k >= size, walked until
    it lands inside (cycle walking, Black and Rogaway 2002). Arguments broadcast.

    Args:
      seed: the run's seed.
      task: key of the task, e.g. `name_key(task_name)`.
      epoch: pass over the task's rows, from 0.
      position: place in the pass, 0 <= position < size.
      size: rows of the task.

    Raises:
      ValueError: a position outside [0, size).
    """
    position_N, size_N, key_N = np.broadcast_arrays(
        np.asarray(position, np.int64),
        np.asarray(size, np.int64),
        fold(_PERMUTATION_KEY, seed, task, epoch),
    )
    if np.any(position_N < 0) or np.any(position_N >= size_N):
        raise ValueError("position must be at least 0 and below size")
    shape = position_N.shape
    value_N, size_N, key_N = position_N.ravel().copy(), size_N.ravel(), key_N.ravel()
    half_bits_N = np.maximum((np.frexp(size_N - 1)[1] + 1) // 2, 1).astype(np.int64)
    # A column for each position that is not inside yet: its keys of all rounds.
    keys_QN = fold(key_N, np.arange(_FEISTEL_ROUNDS)[:, None])
    walking, outside = value_N, np.arange(value_N.size)
    while outside.size:
        walking = _feistel(walking, half_bits_N, keys_QN)
        value_N[outside] = walking
        again = walking >= size_N
        walking, size_N, half_bits_N = walking[again], size_N[again], half_bits_N[again]
        keys_QN, outside = keys_QN[:, again], outside[again]
    return value_N.reshape(shape)


def _feistel(
    value: Int64Array, half_bits: Int64Array, keys_QN: npt.NDArray[np.uint64]
) -> Int64Array:
    mask = (np.int64(1) << half_bits) - 1
    left, right = value >> half_bits, value & mask
    for key_N in keys_QN:
        noise = (fold_onto(key_N, right) >> np.uint64(1)).astype(np.int64)
        left, right = right, left ^ (noise & mask)
    return (left << half_bits) | right


def _largest_remainder(rates: Mapping[str, float], total: int) -> Int64Array:
    """Divides `total` rows among tasks in proportion to their rates (Hamilton)."""
    if not rates:
        raise ConfigError("a mixture needs at least one task with a positive rate")
    rates_T = np.array(list(rates.values()), np.float64)
    quotas_T = rates_T / rates_T.sum() * total
    rows_T = np.floor(quotas_T).astype(np.int64)
    remainder_order = np.argsort(rows_T - quotas_T, kind="stable")
    rows_T[remainder_order[: total - rows_T.sum()]] += 1
    for name, rows in zip(rates, rows_T, strict=True):
        if rows == 0:
            raise ConfigError(
                f"mixing rate of task {name!r} is {rates[name]}, less than one row in "
                f"{total} of the mixture (its rates sum to {rates_T.sum():g}); raise "
                "it or leave the task out"
            )
    return rows_T


def _spread_over_blocks(rows_per_period_T: Int64Array) -> Int64Array:
    """Spreads a period's rows evenly: counts [P, T], each row of them sums to K.

    A block gets the floor of a task's mean count and sometimes one more. The extras are
    drawn by systematic sampling of the fractional parts laid end to end, with starting
    points that run through 0..P-1 in bit-reversed order: each block's extras are an
    integer total, each task's sum over the period is exact, and neighbours differ.
    """
    starts_P1 = _bit_reversed(BLOCKS_PER_PERIOD)[:, None]
    floor_T, fraction_T = np.divmod(rows_per_period_T, BLOCKS_PER_PERIOD)
    upper_T = np.cumsum(fraction_T)
    lower_T = upper_T - fraction_T
    extras_PT = (upper_T + starts_P1) // BLOCKS_PER_PERIOD - (
        lower_T + starts_P1
    ) // BLOCKS_PER_PERIOD
    return floor_T + extras_PT


def _bit_reversed(count: int) -> Int64Array:
    """Returns 0..count-1 in bit-reversed order; `count` is a power of two."""
    order = np.zeros(1, np.int64)
    while order.size < count:
        order = np.concatenate([2 * order, 2 * order + 1])
    return order
