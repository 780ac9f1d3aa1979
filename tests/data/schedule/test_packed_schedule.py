"""Rows of packed examples: a closed form of the row's number, nothing lost."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtmoe.data.ground.keys import fold
from mtmoe.data.schedule.packed import PERIOD, PackedSchedule
from mtmoe.data.schedule.packed_period import PACKING_BLOCK, lay_out_rows, pack_period
from mtmoe.data.schedule.staged import StagedSchedule
from mtmoe.errors import ConfigError

CAPACITY = (512, 256)
RATES = {"long": 3.0, "short": 5.0, "rare": 0.01}
LARGEST = np.array([[300, 120], [40, 60], [512, 256], [100, 20]])  # by task


def sizes_of(tasks, counters):
    """Random sizes; one short example in a hundred has no tokens."""
    noise = fold(tasks, counters)
    inputs = noise % np.uint64(2**20) % LARGEST[tasks, 0].astype(np.uint64)
    targets = (noise >> np.uint64(20)) % LARGEST[tasks, 1].astype(np.uint64)
    sizes = np.stack([inputs, targets], axis=1).astype(np.int32) + 1
    sizes[(tasks == 1) & (noise % np.uint64(101) == 0)] = 0
    return sizes


def packed(stages=((0, RATES),), sizes=sizes_of, capacity=CAPACITY, seed=3):
    return PackedSchedule(StagedSchedule(stages, seed), sizes, capacity, open_bins=8)


@pytest.fixture(scope="module")
def one_stage():
    return packed()


@pytest.fixture(scope="module")
def two_stages():
    """The second stage begins within the first one's second period."""
    first_rows = packed().rows_per_period() + 1000
    return packed([(0, RATES), (first_rows, {"other": 1.0, "short": 1.0})])


def keys(rows):
    return rows.tasks * 2**40 + rows.counters


def test_a_period_holds_each_example_once_in_rows_that_do_not_overflow(one_stage):
    num_rows = one_stage.rows_per_period()
    for period in (0, 1):
        rows = one_stage.rows(period * num_rows, (period + 1) * num_rows)
        tasks, counters = StagedSchedule([(0, RATES)], 3).rows(
            period * PERIOD, (period + 1) * PERIOD
        )
        has_tokens = sizes_of(tasks, counters).any(axis=1)
        assert not has_tokens.all()
        expected = (tasks * 2**40 + counters)[has_tokens]
        assert np.array_equal(np.sort(keys(rows)), np.sort(expected))
        used = np.zeros((num_rows, 2), np.int64)
        np.add.at(used, rows.rows, sizes_of(rows.tasks, rows.counters))
        assert np.all(used <= CAPACITY)
        examples = np.bincount(rows.rows, minlength=num_rows)
        assert np.array_equal(
            rows.segments,
            np.concatenate([np.arange(1, count + 1) for count in examples]),
        )


def test_empty_rows_are_few_and_evenly_spread(one_stage):
    num_rows = one_stage.rows_per_period()
    rows = one_stage.rows(0, num_rows)
    empty = np.flatnonzero(np.bincount(rows.rows, minlength=num_rows) == 0)
    assert 0 < len(empty) < 0.015 * num_rows
    gaps = np.diff(empty)
    assert gaps.max() - gaps.min() <= 1
    used = sizes_of(rows.tasks, rows.counters).sum(axis=0)
    assert (used / (num_rows * np.array(CAPACITY))).max() > 0.95


def test_half_empty_rows_are_not_next_to_each_other(one_stage):
    num_rows = one_stage.rows_per_period()
    rows = one_stage.rows(0, num_rows)
    inputs = sizes_of(rows.tasks, rows.counters)[:, 0]
    used = np.bincount(rows.rows, inputs, num_rows)
    batches = used[: num_rows // 64 * 64].reshape(-1, 64).mean(1) / CAPACITY[0]
    assert np.std(batches) < 1.2 * np.std(used / CAPACITY[0]) / 8


@settings(deadline=None, max_examples=40)
@given(
    first=st.integers(0, 150_000),
    count=st.integers(1, 3000),
    cut=st.floats(0, 1),
)
def test_any_cut_of_the_rows_gives_the_same_rows(two_stages, first, count, cut):
    """In either stage, in any period, and across their ends."""
    middle = first + int(cut * count)
    whole = two_stages.rows(first, first + count)
    before, after = (
        two_stages.rows(first, middle),
        two_stages.rows(middle, first + count),
    )
    after = after._replace(rows=after.rows + middle - first)
    for together, columns in zip(whole, zip(before, after, strict=True), strict=True):
        assert np.array_equal(together, np.concatenate(columns))
    assert np.all(np.diff(whole.rows) >= 0)
    assert whole.rows.size == 0 or 0 <= whole.rows[0] <= whole.rows[-1] < count


def test_rows_before_counts_what_the_rows_hold(two_stages):
    second = two_stages._schedule.first_rows[1]
    for row in (0, 1, 12_345, second - 1, second, second + 1, second + 9999):
        counted = np.bincount(two_stages.rows(0, row).tasks, minlength=4)
        without_tokens = _without_tokens_in_whole_periods(two_stages, row)
        assert np.array_equal(two_stages.rows_before(row), counted + without_tokens)


def _without_tokens_in_whole_periods(schedule, row):
    """Returns examples of no tokens in the first period, if it is before `row`."""
    if row <= schedule.rows_per_period():
        return np.zeros(4, np.int64)
    tasks, counters = schedule._schedule.stage_range(0, 0, PERIOD)
    empty = ~sizes_of(tasks, counters).any(axis=1)
    return np.bincount(tasks[empty], minlength=4)


def test_a_later_stage_goes_on_behind_the_last_block_begun(two_stages):
    schedule = two_stages._schedule
    second = schedule.first_rows[1]
    short = schedule.task_names.index("short")
    assert two_stages.stage(second - 1) == 0 and two_stages.stage(second) == 1
    before, after = two_stages.rows(0, second), two_stages.rows(second, second + 8000)
    assert set(after.tasks) == {short, schedule.task_names.index("other")}
    passed = before.counters[before.tasks == short].max()
    begins = after.counters[after.tasks == short].min()
    assert passed < begins <= passed + PACKING_BLOCK
    every = np.concatenate([keys(before), keys(after)])
    assert len(np.unique(every)) == len(every), "no example twice"
    assert np.array_equal(
        np.sort(after.counters[after.tasks != short])[:100], np.arange(100)
    )


def test_a_row_far_away_is_that_of_its_period(one_stage):
    rows = one_stage.rows(10**9, 10**9 + 64)
    period = 10**9 // one_stage.rows_per_period()
    before = one_stage._schedule.rows_before(period * PERIOD)
    after = one_stage._schedule.rows_before((period + 1) * PERIOD)
    assert np.all(rows.counters >= before[rows.tasks])
    assert np.all(rows.counters < after[rows.tasks])
    fresh = packed().rows(10**9, 10**9 + 64)
    assert all(map(np.array_equal, rows, fresh))


def test_examples_that_fill_their_rows_have_one_each():
    def full(tasks, counters):
        return np.full((len(tasks), 1), 100, np.int32)

    schedule = packed(sizes=full, capacity=[100])
    assert schedule.rows_per_period() == PERIOD
    rows = schedule.rows(500, 600)
    assert np.array_equal(rows.rows, np.arange(100)) and set(rows.segments) == {1}


def test_threads_plan_a_period_once():
    calls = []

    def counted(tasks, counters):
        calls.append(len(tasks))
        return sizes_of(tasks, counters)

    schedule = packed(sizes=counted)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda i: schedule.rows(0, 64), range(16)))
    assert calls == [PERIOD]
    assert all(np.array_equal(keys(rows), keys(found[0])) for rows in found)


def test_a_period_that_needs_more_rows_is_an_error():
    def growing(tasks, counters):
        return np.minimum(1 + counters[:, None] // 2**16, 100).astype(np.int32)

    schedule = packed([(0, {"one": 1.0})], sizes=growing, capacity=[100])
    assert schedule.rows(0, 10).tasks.size
    with pytest.raises(ConfigError, match=r"period 1 of stage 0 needs \d+ rows"):
        schedule.rows(schedule.rows_per_period(), schedule.rows_per_period() + 1)


def test_examples_without_tokens_are_an_error():
    empty = packed(sizes=lambda tasks, _: np.zeros((len(tasks), 2), np.int32))
    with pytest.raises(ConfigError, match="none of the first 262144 examples"):
        empty.rows(0, 1)


def test_blocks_are_packed_by_themselves():
    rng = np.random.default_rng(0)
    tasks = np.zeros(3 * PACKING_BLOCK, np.int64)
    counters = np.arange(3 * PACKING_BLOCK)
    sizes = rng.integers(1, 40, (3 * PACKING_BLOCK, 1)).astype(np.int32)
    sizes[PACKING_BLOCK : 2 * PACKING_BLOCK] = 0
    period = pack_period(tasks, counters, sizes, np.array([100]), 4)
    assert period.bins_per_block[1] == 0 < period.bins_per_block[0]
    blocks = period.bins.reshape(3, -1)
    assert blocks[0].max() + 1 == blocks[2].min() == period.bins_per_block[0]
    rows = period.num_bins + 77
    laid_out = lay_out_rows(period, rows, 5)
    found = laid_out.rows(0, rows)
    first_of_last_block = found.rows[found.counters >= 2 * PACKING_BLOCK].min()
    assert laid_out.blocks_begun(0) == 1
    assert laid_out.blocks_begun(first_of_last_block - 1) == 1
    assert laid_out.blocks_begun(first_of_last_block) == 3
    other_order = lay_out_rows(period, rows, 6).rows(0, rows)
    assert not np.array_equal(found.counters, other_order.counters)
    assert np.array_equal(np.sort(found.counters), np.sort(other_order.counters))
