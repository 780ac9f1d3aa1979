"""Packed batches: whole examples, each in a segment of its own."""

from __future__ import annotations

import collections
import itertools

import gin
import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import seqio
from batch_contents import same_arrays, segments_of
from fake_tasks import add_supervised_task

from mtmoe.data.batches.training import Packing, TrainingBatches
from mtmoe.errors import ConfigError

pytestmark = pytest.mark.usefixtures("own_cache", "clean_registry")


ROOM = {"inputs": 64, "targets": 50}


@pytest.fixture
def short(mixture):
    """Mostly examples of which several fit into a row."""
    seqio.MixtureRegistry.add("short", [("large", 1.0), ("small", 1), ("pairs", 9)])
    return "short"


@pytest.fixture
def packed(short):
    return TrainingBatches(short, 16, ROOM, seed=3, packing=Packing(8))


def test_packed_rows_hold_whole_examples_apart(packed, short):
    unpacked = TrainingBatches(short, 4096, ROOM, seed=3)
    batch = packed.batch(4)
    assert batch.segment_task.shape[1] > 2
    inputs_size = (batch.features["inputs_segments"] > 0).sum(1)
    # Segments come one after the other, padding behind them.
    for name in ("inputs_segments", "targets_segments"):
        segments = batch.features[name]
        filled = segments > 0
        assert np.all(filled[:, :-1] >= filled[:, 1:])
        assert np.all(np.diff(segments, axis=1)[filled[:, 1:]] >= 0)
    assert inputs_size.mean() > 0.8 * 64
    pairs = collections.Counter(
        itertools.chain(*map(segments_of, map(packed.batch, range(9))))
    )
    # The examples of the first block, with the same noise, in another order.
    block = set(segments_of(unpacked.batch(0)))
    assert set(pairs) <= block
    np.testing.assert_array_equal(
        batch.tasks("inputs") >= 0, batch.features["inputs_segments"] > 0
    )
    assert packed.epochs(0) == dict.fromkeys(packed.task_names, 0.0)
    held = collections.Counter(
        packed.task_names[task]
        for b in map(packed.batch, range(9))
        for task, *_ in segments_of(b)
    )
    assert packed.epochs(9) == {
        name: held[name] / packed.num_rows[name] for name in packed.task_names
    }


def test_iterate_yields_packed_batches_too(packed):
    iterator = packed.iterate(3)
    assert all(
        same_arrays(batch, packed.batch(step))
        for step, batch in zip(range(3, 40), iterator, strict=False)
    )
    iterator.close()


def test_packed_rows_do_not_depend_on_the_batch_size(packed, short, monkeypatch):
    plan = packed._packed  # planned once for all of them
    monkeypatch.setattr("mtmoe.data.batches.training.PackedSchedule", lambda *_: plan)
    sizes = (1, 7, 32, 100)
    others = [
        TrainingBatches(short, size, ROOM, seed=3, packing=Packing(8)) for size in sizes
    ]

    @hypothesis.given(st.integers(0, 500_000), st.sampled_from(range(len(sizes))))
    @hypothesis.settings(max_examples=15)
    def check(row, which):
        one, other = packed.batch(row // 16), others[which].batch(row // sizes[which])
        a, b = row % 16, row % sizes[which]
        for name, array in one.features.items():
            np.testing.assert_array_equal(array[a], other.features[name][b])

    check()


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [4, 9])
def test_packing_loses_and_repeats_no_example(byte_vocabulary, batch_size):
    """Over a pass and a half, in which a block may be begun and not yet done."""
    large = [(f"q {i}", f"{i}") for i in range(9000)]
    add_supervised_task("large", large, byte_vocabulary)
    add_supervised_task("small", large[:900], byte_vocabulary)
    seqio.MixtureRegistry.add("two", [("large", 10), ("small", 1)])
    lengths = {"inputs": 60, "targets": 45}
    batches = TrainingBatches("two", batch_size, lengths, 1, packing=Packing(16))
    counts = {name: collections.Counter() for name in batches.task_names}
    step = 0
    while batches.epochs(step)["large"] < 1.6:
        for task, _, targets in segments_of(batches.batch(step)):
            counts[batches.task_names[task]][targets] += 1
        step += 1
    for name, size in (("large", 9000), ("small", 900)):
        assert len(counts[name]) == size
        assert set(counts[name].values()) == {1, 2}
        held = batches.epochs(step)[name] * size
        assert counts[name].total() == pytest.approx(held)


def test_packing_is_configured_by_gin():
    gin.parse_config("Packing.open_bins = 5")
    assert Packing() == Packing(5)
    with pytest.raises(ConfigError, match="Packing.open_bins is 0; it must be a"):
        Packing(0)
