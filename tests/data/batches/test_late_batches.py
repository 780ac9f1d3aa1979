"""Batch 1,000,000, and a run that is killed: the same in any process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import seqio
from batch_contents import LENGTHS, PAIRS, digest
from fake_tasks import add_supervised_task, add_text_task, random_documents
from oracles.forked_commands import ForkedProcess

from mtmoe.data.batches.training import Packing, TrainingBatches

pytestmark = pytest.mark.usefixtures("own_cache", "clean_registry")


def _start_child(function, cache: Path, *arguments: object) -> ForkedProcess:
    """A process with a cache of its own and another hash seed than this one."""
    environment = {**os.environ, "MTMOE_CACHE": str(cache)}
    return ForkedProcess(function, arguments, cache.parent, environment)


def print_digests_of_late_batches() -> None:
    print(hash("a text"), *digests_of_late_batches(), flush=True)


def digests_of_late_batches() -> list[str]:
    """Of batch 1,000,000, unpacked and packed, built before any other."""
    digests = []
    for packing in (None, Packing(8)):
        batches = _of_three_texts(packing)
        digests.append(digest(batches.batch(1_000_000)))
    return digests


def _of_three_texts(packing: Packing | None) -> TrainingBatches:
    vocabulary = seqio.ByteVocabulary(extra_ids=100)
    if "abc" not in seqio.MixtureRegistry.names():
        for seed, name in enumerate(("b", "a", "c")):
            add_text_task(name, random_documents(seed, 3000), vocabulary)
        add_supervised_task("pairs", PAIRS, vocabulary)
        seqio.MixtureRegistry.add("abc", [("b", 1), ("a", 2), ("c", 3), ("pairs", 9)])
    return TrainingBatches("abc", 50, LENGTHS, seed=5, packing=packing)


@pytest.mark.slow
def test_a_late_batch_is_the_same_in_any_process_and_after_any_other(tmp_path):
    child = _start_child(print_digests_of_late_batches, tmp_path / "theirs")
    here = []
    for packing in (None, Packing(8)):
        batches = _of_three_texts(packing)
        for step in (0, 77, 999_999):
            batches.batch(step)
        here.append(digest(batches.batch(1_000_000)))
    output, errors = child.communicate(timeout=300)
    hashed, *theirs = output.split()
    assert theirs == here, errors
    assert int(hashed) != hash("a text"), "the seeds of the hashes are to differ"


def print_digests_on_and_on(start_step: int) -> None:
    for batch in _of_three_texts(Packing(8)).iterate(start_step):
        print(digest(batch), flush=True)


@pytest.mark.slow
def test_a_killed_process_is_gone_on_from_bit_for_bit(tmp_path):
    seen: list[str] = []
    for count in (23, 17):
        child = _start_child(print_digests_on_and_on, tmp_path / "cache", len(seen))
        try:
            seen += child.lines(count)
        finally:
            child.kill()
            child.wait()
    batches = _of_three_texts(Packing(8))
    assert seen == [digest(batches.batch(step)) for step in range(40)]
