"""Every process builds its own rows; together they are the one global batch."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import seqio
from batch_contents import arrays_of
from fake_tasks import add_supervised_task, add_text_task, random_documents
from hypothesis import given, settings
from hypothesis import strategies as st

from mtmoe.data.batches.training import Packing, TrainingBatches
from mtmoe.data.token_cache.reader import CachedSplit

pytestmark = pytest.mark.usefixtures("own_cache", "clean_registry")

PAIRS = [(f"question {i}" * (1 + i % 3), f"answer {i}") for i in range(50)]
BOTH, ALONE = {"inputs": 48, "targets": 20}, {"targets": 48}
ROWS = 16


@pytest.fixture
def mixture(byte_vocabulary):
    add_text_task("text", random_documents(1, 5000), byte_vocabulary)
    add_supervised_task("pairs", PAIRS, byte_vocabulary)
    seqio.MixtureRegistry.add("mix", [("text", 1), ("pairs", 2)])
    return "mix"


@pytest.mark.parametrize("lengths", [BOTH, ALONE], ids=["both", "decoder"])
@pytest.mark.parametrize("packing", [None, Packing(8)], ids=["plain", "packed"])
def test_whatever_rows_a_process_has_they_are_those_of_the_whole_batch(
    mixture, lengths, packing
):
    whole = TrainingBatches(mixture, ROWS, lengths, seed=1, packing=packing)

    # Which process holds each row; a row of process 3 is held by 0 too.
    @settings(max_examples=30)
    @given(
        holder=st.lists(st.integers(0, 3), min_size=ROWS, max_size=ROWS),
        step=st.sampled_from([0, 5, 10**6]),
    )
    def check(holder, step):
        expected = whole.batch(step)
        tokens = places = 0
        bad = Counter()
        for process in set(holder):
            own = [r for r in range(ROWS) if holder[r] == process]
            rows = [r for r in range(ROWS) if holder[r] in (process, 3 - process)]
            part = whole.of_rows(rows, counted=own).batch(step)
            for name, array in arrays_of(expected).items():
                np.testing.assert_array_equal(arrays_of(part)[name], array[rows])
            tokens += part.num_tokens
            places += part.num_places
            bad.update(part.bad_rows)
        assert (tokens, places) == (expected.num_tokens, expected.num_places)
        assert bad == Counter(expected.bad_rows)

    check()
    rows = range(3, ROWS, 4)
    iterator = whole.of_rows(rows).iterate(3)
    for step, batch in zip(range(3, 9), iterator, strict=False):
        for name, array in arrays_of(whole.batch(step)).items():
            np.testing.assert_array_equal(arrays_of(batch)[name], array[rows])
    iterator.close()


@pytest.mark.slow
def test_a_process_plans_its_packing_as_the_others_do(mixture):
    """Nothing shared: each process plans for itself."""
    whole = TrainingBatches(mixture, 8, BOTH, seed=1, packing=Packing(8)).batch(77)
    for rows in ([0, 1, 4, 5], [2, 3, 6, 7]):
        alone = TrainingBatches(mixture, 8, BOTH, 1, packing=Packing(8))
        for name, array in arrays_of(alone.of_rows(rows).batch(77)).items():
            np.testing.assert_array_equal(array, arrays_of(whole)[name][rows])


def test_a_process_reads_the_tokens_of_its_own_rows_alone(mixture, monkeypatch):
    read = []

    def count(method):
        real = getattr(CachedSplit, method)

        def counted(self, first, *more):
            read.append(len(first))
            return real(self, first, *more)

        monkeypatch.setattr(CachedSplit, method, counted)

    count("token_ranges")
    count("examples")
    part = TrainingBatches(mixture, ROWS, BOTH, seed=1).of_rows([6, 14])
    read.clear()
    batch = part.batch(0)
    assert batch.features["inputs"].shape == (2, 48)
    assert sum(read) == 2
