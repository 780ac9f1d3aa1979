"""Staged mixtures: each stage by its rates, each task going on where it was."""

from __future__ import annotations

import numpy as np
import pytest
import seqio
from fake_tasks import add_supervised_task, add_text_task, random_documents
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mtmoe.data.batches.training import TrainingBatches
from mtmoe.data.mixing.mixtures import register_mixture, register_weighted_mixture
from mtmoe.data.mixing.policies import ExamplesProportional, Temperature, UniMax
from mtmoe.data.mixing.rates import flatten, mean_rates, task_rates
from mtmoe.data.mixing.stages import register_staged_mixture, stages_of
from mtmoe.data.schedule.fixed_rates import BLOCK_SIZE, Schedule
from mtmoe.data.schedule.staged import StagedSchedule
from mtmoe.data.tasks.registry import get_mixture_or_task, tasks_of
from mtmoe.errors import ConfigError, UnknownNameError

pytestmark = pytest.mark.usefixtures("own_cache", "clean_registry")

LENGTHS = {"inputs": 64, "targets": 20}
FIRST, SECOND, THIRD = {"a": 3.0, "b": 1.0}, {"c": 1.0, "b": 4.0}, {"a": 1.0, "c": 1.0}
STAGES = [(0, FIRST), (5_000, SECOND), (41_000, THIRD)]


def test_one_stage_is_the_schedule_itself():
    rates = {"z": 2.0, "a": 5.0, "k": 0.1}
    plain, staged = Schedule(rates, 7), StagedSchedule([(0, rates)], 7)
    assert plain.task_names == staged.task_names
    np.testing.assert_array_equal(staged.shares_ST, [plain.shares_T])
    for step in (0, 3, 10**9):
        for got, expected in zip(
            staged.rows(100 * step, 100 * step + 100),
            plain.rows(100 * step, 100 * step + 100),
            strict=True,
        ):
            np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(staged.rows_before(9999), plain.rows_before(9999))


def test_counters_go_on_across_stages_without_a_gap():
    schedule = StagedSchedule(STAGES, seed=0)
    assert schedule.task_names == ("a", "b", "c")
    tasks, counters = schedule.rows(0, 60_000)
    for task in range(3):
        of_task = counters[tasks == task]
        np.testing.assert_array_equal(of_task, np.arange(of_task.size))
    for first, end, absent in ((0, 5_000, 2), (5_000, 41_000, 0), (41_000, 60_000, 1)):
        assert not np.any(tasks[first:end] == absent)
    assert [schedule.stage(row) for row in (0, 4999, 5000, 40_999, 41_000, 10**9)] == [
        *(0, 0, 1, 1, 2, 2)
    ]


@settings(deadline=None, max_examples=40)
@given(batch_size=st.integers(1, 3000), first=st.integers(0, 60_000))
def test_any_batch_size_cuts_the_same_rows(batch_size, first):
    schedule = StagedSchedule(STAGES, seed=3)
    step = first // batch_size
    tasks, counters = schedule.rows(step * batch_size, (step + 1) * batch_size)
    for i in (0, batch_size // 2, batch_size - 1):
        row = step * batch_size + i
        one_task, one_counter = schedule.rows(row, row + 1)
        assert (tasks[i], counters[i]) == (one_task[0], one_counter[0])
        assert schedule.rows_before(row)[tasks[i]] == counters[i]


def test_a_stage_by_itself_counts_from_its_beginning():
    schedule = StagedSchedule(STAGES, seed=3)
    tasks, counters = schedule.rows(6_000, 7_000)
    own_tasks, own_counters = schedule.stage_range(1, 1_000, 2_000)
    np.testing.assert_array_equal(own_tasks, tasks)
    before = schedule.rows_before(5_000)
    np.testing.assert_array_equal(own_counters + before[tasks], counters)
    np.testing.assert_array_equal(
        schedule.stage_rows_before(1, 1_000), schedule.rows_before(6_000) - before
    )


def test_blocks_begin_with_their_stage_and_keep_their_counts():
    schedule = StagedSchedule(STAGES, seed=0)
    for start, rates in STAGES[:2]:
        quotas = np.array([rates.get(name, 0.0) for name in "abc"])
        quotas *= BLOCK_SIZE / quotas.sum()
        for block in range(4):
            first = start + block * BLOCK_SIZE
            counts = schedule.rows_before(first + BLOCK_SIZE)
            counts = counts - schedule.rows_before(first)
            assert np.all(np.abs(counts - quotas) < 1)


def test_a_stage_that_repeats_a_mixture_shuffles_it_anew():
    schedule = StagedSchedule([(0, FIRST), (1024, FIRST)], seed=0)
    first, second = (
        schedule.rows(1024 * step, 1024 * step + 1024)[0] for step in (0, 1)
    )
    assert np.mean(first == second) < 0.75


def test_100_000_examples_of_a_staged_mixture_fit_the_rates_of_each_stage(
    byte_vocabulary,
):
    names = [f"t{i}" for i in range(6)]
    for i, name in enumerate(names):
        add_text_task(name, ["x" * 100] * 2**i, byte_vocabulary)
    register_mixture("even", names, lambda: Temperature(0.3))
    register_mixture("capped", names[:4], lambda: ExamplesProportional(5))
    register_mixture("unimax", names[2:], lambda: UniMax(2000, 1))
    staged = [(0, "even"), (300, "capped"), (500, "unimax")]
    register_staged_mixture("staged", staged)
    rates = [task_rates(get_mixture_or_task(name)) for _, name in staged]
    schedule = StagedSchedule(
        [(100 * step, r) for (step, _), r in zip(staged, rates, strict=True)], seed=5
    )
    tasks, _ = schedule.rows(0, 100_000)
    bounds = [0, 30_000, 50_000, 100_000]
    for stage, stage_rates in enumerate(rates):
        counts = np.bincount(tasks[bounds[stage] : bounds[stage + 1]], minlength=6)
        shares = np.array([stage_rates.get(name, 0) for name in schedule.task_names])
        used = shares > 0
        assert counts[~used].sum() == 0
        expected = shares[used] / shares.sum() * counts.sum()
        assert stats.chisquare(counts[used], expected).pvalue > 0.01
    whole = np.array([mean_rates("staged", 1000)[name] for name in schedule.task_names])
    observed = np.bincount(tasks, minlength=6)
    assert stats.chisquare(observed, whole * 100_000).pvalue > 0.01


@pytest.fixture
def staged(byte_vocabulary, clean_registry):
    add_text_task("text", random_documents(1, 7000), byte_vocabulary)
    add_text_task("more", random_documents(2, 1400), byte_vocabulary)
    pairs = [(f"question {i}", f"answer {i}") for i in range(7)]
    add_supervised_task("pairs", pairs, byte_vocabulary)
    register_weighted_mixture("both", {"text": 3, "more": 1})
    register_weighted_mixture("all", {"both": 1, "pairs": 3})
    register_staged_mixture("staged", [(0, "both"), (20, "all"), (30, "text")])
    return "staged"


def test_batches_change_their_mixture_at_the_step(staged):
    batches = TrainingBatches(staged, 16, LENGTHS, seed=3)
    assert batches.task_names == ("more", "pairs", "text")
    assert [stage.mixture for stage in batches.stages] == ["both", "all", "text"]
    assert [batches.stage(step) for step in (0, 19, 20, 29, 30)] == [0, 0, 1, 1, 2]
    tasks = np.concatenate(
        [batches.batch(step).segment_task[:, 0] for step in range(40)]
    )
    assert not np.any(tasks[: 20 * 16] == 1)
    assert np.mean(tasks[20 * 16 : 30 * 16] == 1) == pytest.approx(0.75, abs=0.1)
    assert set(tasks[30 * 16 :]) == {2}
    counts = np.bincount(tasks, minlength=3)
    for name, count in zip(batches.task_names, counts, strict=True):
        assert batches.epochs(40)[name] == count / batches.num_rows[name]


def test_a_batch_is_still_a_pure_function_of_seed_and_step(staged):
    one, two = (TrainingBatches(staged, 8, LENGTHS, seed=3) for _ in range(2))
    for step in (5, 20, 31, 10**7):
        np.testing.assert_array_equal(
            one.batch(step).features["inputs"], two.batch(step).features["inputs"]
        )
    iterator = one.iterate(start_step=18)
    for step, batch in zip(range(18, 33), iterator, strict=False):
        np.testing.assert_array_equal(
            batch.features["inputs"], two.batch(step).features["inputs"]
        )
    iterator.close()


def test_a_task_goes_on_where_it_was(staged, byte_vocabulary):
    """Its examples come once each before any comes again, whatever the stage."""
    register_weighted_mixture("with", {"pairs": 1, "text": 1})
    register_weighted_mixture("alone", {"pairs": 1})
    register_staged_mixture("goes_on", [(0, "with"), (3, "more"), (4, "alone")])
    batches = TrainingBatches("goes_on", 5, LENGTHS, seed=0)
    number = batches.task_names.index("pairs")
    seen = [
        byte_vocabulary.decode(inputs[inputs != 0].tolist())
        for batch in map(batches.batch, range(9))
        for inputs in batch.features["inputs"][batch.segment_task[:, 0] == number]
    ]
    before = round(batches.epochs(4)["pairs"] * 7)
    assert 0 < before < 14 and before % 7 and len(seen) == before + 25
    for epoch in range(len(seen) // 7):
        assert len(set(seen[7 * epoch : 7 * epoch + 7])) == 7


def test_shares_are_told_by_stage_and_on_average(staged):
    batches = TrainingBatches(staged, 16, LENGTHS, seed=3)
    first, second, third = batches.stage_shares
    assert batches.shares == first == batches.mean_shares(0) == batches.mean_shares(20)
    assert first == pytest.approx({"text": 0.75, "more": 0.25, "pairs": 0.0}, abs=1e-4)
    assert third == {"text": 1.0, "more": 0.0, "pairs": 0.0}
    mean = {name: (20 * first[name] + 10 * second[name]) / 30 for name in first}
    assert batches.mean_shares(30) == pytest.approx(mean)
    assert mean_rates(staged, 30) == pytest.approx(mean, abs=1e-4)
    assert mean_rates(staged, 10) == {"more": 0.25, "text": 0.75}
    assert mean_rates(staged, 60)["text"] > mean["text"]


def test_the_registry_knows_a_staged_mixture_and_seqio_refuses_it(staged):
    assert {task.name for task in tasks_of(staged)} == {"text", "more", "pairs"}
    assert stages_of("both") == ((0, "both"),)
    mixture = seqio.get_mixture_or_task(staged)
    for use in (
        lambda: mixture.get_dataset(LENGTHS, split="train"),
        lambda: mixture.get_rate(mixture.tasks[0]),
        lambda: mixture.total_rate,
        lambda: task_rates(mixture),
        lambda: flatten(staged),
    ):
        with pytest.raises(ConfigError, match="'staged' is staged.*'both', 'all', 't"):
            use()
    seqio.MixtureRegistry.add("around", [(staged, 1.0), ("text", 1.0)])
    with pytest.raises(ConfigError, match="'staged' is staged"):
        flatten("around")


def test_mistakes_in_stages_are_named(staged):
    for stages in ([(1, "both")], [(0, "both"), (9, "all"), (9, "text")], []):
        with pytest.raises(ConfigError, match="first must start at 0"):
            register_staged_mixture("new", stages)
    with pytest.raises(UnknownNameError, match="did you mean both"):
        register_staged_mixture("new", [(0, "bot")])
    with pytest.raises(ConfigError, match="stage 'staged' has stages itself"):
        register_staged_mixture("new", [(0, "both"), (5, "staged")])
    assert "new" not in seqio.MixtureRegistry.names()
