"""Batch 1,000,000, and a run that is killed: the same in any process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import seqio
from batch_contents import LENGTHS, PAIRS, digest
from fake_tasks import add_supervised_task, add_text_task, random_documents

from mtmoe.data.batches import Packing, TrainingBatches

pytestmark = pytest.mark.usefixtures("own_cache", "clean_registry")


_CHILD = """
import sys
sys.path[:0] = [{tests!r}]
import test_late_batches
test_late_batches.{function}({arguments})
"""


def _start_child(function: str, cache: Path, hash_seed: str = "0", arguments: str = ""):
    """A process with a cache and a hash seed of its own; its output is piped."""
    script = _CHILD.format(
        tests=str(Path(__file__).parent), function=function, arguments=arguments
    )
    return subprocess.Popen(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "MTMOE_CACHE": str(cache)},
        stdout=subprocess.PIPE,
        text=True,
    )


def print_digests_of_late_batches() -> None:
    print(*digests_of_late_batches(), flush=True)


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
    children = [
        _start_child("print_digests_of_late_batches", tmp_path / seed, seed)
        for seed in ("1", "2")
    ]
    here = []
    for packing in (None, Packing(8)):
        batches = _of_three_texts(packing)
        for step in (0, 77, 999_999):
            batches.batch(step)
        here.append(digest(batches.batch(1_000_000)))
    for child in children:
        output, _ = child.communicate(timeout=300)
        assert output.split() == here


def print_digests_on_and_on(start_step: int) -> None:
    for batch in _of_three_texts(Packing(8)).iterate(start_step):
        print(digest(batch), flush=True)


@pytest.mark.slow
def test_a_killed_process_is_gone_on_from_bit_for_bit(tmp_path):
    first = _start_child("print_digests_on_and_on", tmp_path / "cache", "1", "0")
    seen = [first.stdout.readline().strip() for _ in range(23)]
    first.send_signal(signal.SIGKILL)
    first.wait()
    second = _start_child("print_digests_on_and_on", tmp_path / "cache", "2", "23")
    try:
        seen += [second.stdout.readline().strip() for _ in range(17)]
    finally:
        second.kill()
        second.wait()
    batches = _of_three_texts(Packing(8))
    assert seen == [digest(batches.batch(step)) for step in range(40)]
