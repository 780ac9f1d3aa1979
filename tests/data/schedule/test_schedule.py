"""Block-deterministic schedule and the keyed permutation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mtmoe.data.ground.keys import fold, fold_onto, name_key
from mtmoe.data.schedule.fixed_rates import (
    BLOCK_SIZE,
    BLOCKS_PER_PERIOD,
    Schedule,
    permuted_index,
)
from mtmoe.errors import ConfigError

RATES = st.lists(st.floats(0.05, 100.0), min_size=1, max_size=40)


def _schedule(rates: list[float], seed: int = 0) -> Schedule:
    return Schedule({f"task_{i}": rate for i, rate in enumerate(rates)}, seed)


@settings(deadline=None, max_examples=60)
@given(rates=RATES, block=st.integers(0, 10**9), seed=st.integers(0, 2**31))
def test_every_block_is_within_one_of_the_shares(rates, block, seed):
    tasks, _ = _schedule(rates, seed).rows(block * BLOCK_SIZE, (block + 1) * BLOCK_SIZE)
    counts = np.bincount(tasks, minlength=len(rates))
    quotas = np.array(rates) / sum(rates) * BLOCK_SIZE
    assert counts.sum() == BLOCK_SIZE
    assert np.all(np.abs(counts - quotas) < 1 + 1e-6)


@settings(deadline=None, max_examples=10)
@given(rates=RATES)
def test_a_period_divides_its_rows_by_largest_remainder(rates):
    schedule = _schedule(rates)
    total = BLOCK_SIZE * BLOCKS_PER_PERIOD
    counts = schedule.rows_before(total)
    quotas = np.array(rates) / sum(rates) * total
    assert counts.sum() == total
    assert np.all(np.abs(counts - quotas) < 1 + 1e-6)
    np.testing.assert_array_equal(counts / total, schedule.shares_T)
    np.testing.assert_array_equal(schedule.rows_before(5 * total), 5 * counts)


@settings(deadline=None, max_examples=30)
@given(
    rates=RATES,
    batch_size=st.integers(1, 2500),
    step=st.integers(0, 1000),
)
def test_any_batch_size_cuts_the_same_row_sequence(rates, batch_size, step):
    schedule = _schedule(rates)
    tasks, counters = schedule.rows(step * batch_size, (step + 1) * batch_size)
    assert tasks.shape == counters.shape == (batch_size,)
    first = step * batch_size
    for i in (0, batch_size // 2, batch_size - 1):
        one_task, one_counter = schedule.rows(first + i, first + i + 1)
        assert (tasks[i], counters[i]) == (one_task[0], one_counter[0])
        assert schedule.rows_before(first + i)[tasks[i]] == counters[i]


def test_counters_of_each_task_count_up_without_a_gap():
    schedule = _schedule([3.0, 1.0, 0.001, 7.7])
    tasks, counters = schedule.rows(0, 20 * BLOCK_SIZE + 17)
    for task in range(4):
        of_task = counters[tasks == task]
        np.testing.assert_array_equal(of_task, np.arange(of_task.size))
    assert (tasks == 2).sum() > 0, "a share below one row a block is still served"


def test_scheduled_rows_fit_the_rates_and_are_shuffled():
    rates = np.arange(1.0, 21.0)
    tasks, _ = _schedule(list(rates)).rows(0, 100_000)
    observed = np.bincount(tasks, minlength=20)
    assert stats.chisquare(observed, rates / rates.sum() * 100_000).pvalue > 0.99
    pairs = np.zeros((20, 20))
    np.add.at(pairs, (tasks[:-1], tasks[1:]), 1)
    assert stats.chi2_contingency(pairs).pvalue > 1e-3, "neighbours are independent"
    other, _ = _schedule(list(rates), seed=1).rows(0, 100_000)
    assert np.mean(tasks == other) < 0.1


def test_a_late_step_costs_as_little_as_the_first():
    schedule = _schedule([1.0] * 101)
    tasks, counters = schedule.rows(64 * 10**12, 64 * 10**12 + 64)
    assert tasks.shape == (64,)
    expected = schedule.shares_T[tasks] * 64 * 10**12
    assert np.all(np.abs(counters - expected) < 2 * BLOCKS_PER_PERIOD)


def test_a_task_too_rare_for_a_period_and_an_empty_mixture_are_errors():
    with pytest.raises(ConfigError, match="'rare'.*less than one row"):
        Schedule({"good": 1e9, "rare": 1.0}, seed=0)
    with pytest.raises(ConfigError, match="at least one task"):
        Schedule({}, seed=0)


@settings(deadline=None, max_examples=100)
@given(
    size=st.integers(1, 3000),
    seed=st.integers(0, 2**40),
    task=st.integers(0, 2**64 - 1),
    epoch=st.integers(0, 10**6),
)
def test_permutation_is_a_bijection(size, seed, task, epoch):
    key = np.uint64(task)
    permuted = permuted_index(seed, key, epoch, np.arange(size), size)
    np.testing.assert_array_equal(np.sort(permuted), np.arange(size))


def test_permutation_depends_on_every_key_and_looks_random():
    position = np.arange(10_000)
    base = permuted_index(0, 1, 0, position, 10_000)
    for seed, task, epoch in ((1, 1, 0), (0, 2, 0), (0, 1, 1)):
        other = permuted_index(seed, task, epoch, position, 10_000)
        assert np.mean(other == base) < 0.005
        assert abs(stats.spearmanr(base, other).statistic) < 0.05
    assert abs(stats.spearmanr(base, position).statistic) < 0.05
    first = permuted_index(0, 1, np.arange(60_000), 0, 6)
    assert stats.chisquare(np.bincount(first, minlength=6)).pvalue > 1e-3


def test_permutation_broadcasts_sizes_and_refuses_positions_outside():
    sizes = np.array([1, 2, 3, 1000, 2**40])
    index = permuted_index(0, 1, 0, sizes - 1, sizes)
    assert np.all(index < sizes) and index[0] == 0
    for i, size in enumerate(sizes):
        assert permuted_index(0, 1, 0, size - 1, size) == index[i]
    with pytest.raises(ValueError, match="below size"):
        permuted_index(0, 1, 0, 3, 3)


def test_fold_is_a_fixed_function_with_independent_bits():
    assert int(fold(1, 2, 3)) == int(fold(1, 2, np.array([3]))[0])
    assert int(fold(1, 2)) != int(fold(2, 1))
    assert int(fold(-1)) != int(fold(1))
    assert name_key("a") == int.from_bytes(bytes.fromhex("ca978112ca1bbdca"), "little")
    words = fold(7, np.arange(50_000))
    bits = (words[:, None] >> np.arange(64, dtype=np.uint64)) & np.uint64(1)
    assert np.all(np.abs(bits.mean(axis=0) - 0.5) < 0.015)


def test_a_hash_can_be_gone_on_with():
    words = np.arange(12).reshape(3, 4)
    np.testing.assert_array_equal(
        fold_onto(fold(5, words[:, :1]), words, 9), fold(5, words[:, :1], words, 9)
    )
    assert fold_onto(fold(1, 2), 3) == fold(1, 2, 3)
    assert fold(1, 2, 3).shape == ()
