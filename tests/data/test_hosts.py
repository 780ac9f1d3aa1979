"""Every host builds its own rows; together they are the one global batch."""

from __future__ import annotations

import numpy as np
import pytest
import seqio
from fake_tasks import add_supervised_task, add_text_task, random_documents

from mtmoe.data.batches import Packing, TrainingBatches
from mtmoe.data.token_cache.reader import CachedSplit

pytestmark = pytest.mark.usefixtures("own_cache", "clean_registry")

PAIRS = [(f"question {i}" * (1 + i % 3), f"answer {i}") for i in range(50)]
BOTH, ALONE = {"inputs": 48, "targets": 20}, {"targets": 48}


@pytest.fixture
def mixture(byte_vocabulary):
    add_text_task("text", random_documents(1, 5000), byte_vocabulary)
    add_supervised_task("pairs", PAIRS, byte_vocabulary)
    seqio.MixtureRegistry.add("mix", [("text", 1), ("pairs", 2)])
    return "mix"


def _arrays(batch) -> dict[str, np.ndarray]:
    return {k: v for k, v in vars(batch).items() if isinstance(v, np.ndarray)}


@pytest.mark.parametrize("lengths", [BOTH, ALONE], ids=["both", "decoder"])
@pytest.mark.parametrize("packing", [None, Packing(8)], ids=["plain", "packed"])
def test_1_2_4_and_8_hosts_build_the_same_global_batches(
    mixture, lengths, packing, monkeypatch
):
    whole = TrainingBatches(mixture, 16, lengths, seed=1, packing=packing)
    plan = whole._packed  # planned once for all of them
    monkeypatch.setattr("mtmoe.data.batches.PackedSchedule", lambda *_: plan)
    for num_hosts in (1, 2, 4, 8):
        hosts = [
            TrainingBatches(
                mixture, 16, lengths, 1, packing=packing, host=h, num_hosts=num_hosts
            )
            for h in range(num_hosts)
        ]
        for step in (0, 5, 10**6):
            expected = _arrays(whole.batch(step))
            parts = [_arrays(host.batch(step)) for host in hosts]
            for name, array in expected.items():
                together = np.concatenate([part[name] for part in parts])
                np.testing.assert_array_equal(together, array, err_msg=name)
        iterator = hosts[-1].iterate(3)
        for step, batch in zip(range(3, 9), iterator, strict=False):
            for name, array in _arrays(whole.batch(step)).items():
                own = array[-16 // num_hosts :]
                np.testing.assert_array_equal(_arrays(batch)[name], own)
        iterator.close()


@pytest.mark.slow
def test_a_host_plans_its_packing_as_the_others_do(mixture):
    """Nothing shared: each host plans for itself."""
    whole = TrainingBatches(mixture, 8, BOTH, seed=1, packing=Packing(8)).batch(77)
    parts = [
        TrainingBatches(
            mixture, 8, BOTH, 1, packing=Packing(8), host=host, num_hosts=2
        ).batch(77)
        for host in range(2)
    ]
    for name, array in _arrays(whole).items():
        together = np.concatenate([_arrays(part)[name] for part in parts])
        np.testing.assert_array_equal(together, array, err_msg=name)


def test_a_host_reads_the_tokens_of_its_own_rows_alone(mixture, monkeypatch):
    read = []

    def count(method):
        real = getattr(CachedSplit, method)

        def counted(self, first, *more):
            read.append(len(first))
            return real(self, first, *more)

        monkeypatch.setattr(CachedSplit, method, counted)

    count("token_ranges")
    count("examples")
    host = TrainingBatches(mixture, 16, BOTH, seed=1, host=3, num_hosts=8)
    read.clear()
    batch = host.batch(0)
    assert batch.inputs.shape == (2, 48)
    assert sum(read) == 2
