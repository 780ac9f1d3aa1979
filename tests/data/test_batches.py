"""Batches: pure functions of (seed, step), whatever the tasks."""

from __future__ import annotations

import hashlib
import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import seqio
from fake_tasks import (
    TEXT_STEPS,
    add_supervised_task,
    add_text_task,
    random_documents,
)

from mtmoe.data.batches import TrainingBatches
from mtmoe.data.objectives.span_corruption import SpanCorruption
from mtmoe.errors import ConfigError, CorpusError, UnknownNameError

pytestmark = pytest.mark.usefixtures("own_cache", "clean_registry")

LENGTHS = {"inputs": 64, "targets": 20}
PAIRS = [(f"question {i}", f"answer {i}") for i in range(7)]


@pytest.fixture
def mixture(byte_vocabulary, clean_registry):
    """Two texts of 100 and 20 rows, and 7 supervised examples."""
    add_text_task("large", random_documents(1, 7000), byte_vocabulary)
    add_text_task("small", random_documents(2, 1400), byte_vocabulary)
    add_supervised_task("pairs", PAIRS, byte_vocabulary)
    seqio.MixtureRegistry.add("mix", [("large", 5.0), ("small", 2), ("pairs", 1)])
    return "mix"


def _equal(a, b) -> bool:
    return all(
        np.array_equal(getattr(a, name), getattr(b, name))
        for name in ("inputs", "targets", "task")
    )


def _text(row: np.ndarray, vocabulary) -> str:
    return vocabulary.decode(row[: row.tolist().index(1)])


def test_a_batch_has_the_shapes_and_every_kind_of_row(mixture, byte_vocabulary):
    batches = TrainingBatches(mixture, 16, LENGTHS, seed=3)
    assert batches.task_names == ("large", "pairs", "small")
    batch = batches.batch(0)
    assert batch.inputs.shape == (16, 64) and batch.targets.shape == (16, 20)
    assert {x.dtype for x in (batch.inputs, batch.targets, batch.task)} == {
        np.dtype(np.int32)
    }
    rows = list(
        itertools.chain(
            *(
                zip(b.inputs, b.targets, b.task, strict=True)
                for b in map(batches.batch, range(8))
            )
        )
    )
    pairs = {
        (_text(inputs, byte_vocabulary), _text(targets, byte_vocabulary))
        for inputs, targets, task in rows
        if task == 1
    }
    assert pairs == set(PAIRS)
    large = "".join(random_documents(1, 7000))
    raw_length, _ = SpanCorruption().lengths(64)
    chunks = {large[i : i + raw_length] for i in range(0, 7000, raw_length)}
    seen = {_restore(i, t, byte_vocabulary) for i, t, task in rows if task == 0}
    assert len(seen) > 50 and seen <= chunks
    assert 0 < batch.padding_fraction < 0.4
    filled = (batch.inputs != 0).sum() + (batch.targets != 0).sum()
    assert batch.padding_fraction == pytest.approx(1 - filled / (16 * 84))


def _restore(inputs, targets, vocabulary) -> str:
    spans: dict[int, list[int]] = {}
    for token in targets[: targets.tolist().index(1)]:
        if token >= 259:
            span = spans.setdefault(token, [])
        else:
            span.append(token)
    tokens = [spans.get(token, [token]) for token in inputs[: inputs.tolist().index(1)]]
    return vocabulary.decode([int(t) for part in tokens for t in part])


def test_the_same_seed_and_step_give_the_same_batch_and_others_do_not(mixture):
    one = TrainingBatches(mixture, 13, LENGTHS, seed=3)
    two = TrainingBatches(mixture, 13, tuple(LENGTHS.items()), seed=3)
    late = one.batch(10**6)
    assert _equal(late, two.batch(10**6))
    assert not _equal(late, one.batch(10**6 + 1))
    assert not _equal(late, TrainingBatches(mixture, 13, LENGTHS, seed=4).batch(10**6))


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_iterate_yields_the_batches_from_any_step(mixture, batch_size):
    batches = TrainingBatches(mixture, batch_size, LENGTHS, seed=0)
    iterator = batches.iterate(start_step=5)
    for step, batch in zip(range(5, 25), iterator, strict=False):
        assert _equal(batch, batches.batch(step)), step
    iterator.close()


def test_an_error_while_building_ahead_reaches_the_reader(mixture, monkeypatch):
    batches = TrainingBatches(mixture, 4, LENGTHS, seed=0)

    def fail(step):
        raise RuntimeError(f"step {step}")

    monkeypatch.setattr(batches, "batch", fail)
    with pytest.raises(RuntimeError, match="step 2"):
        next(batches.iterate(2))


def test_another_batch_size_cuts_the_same_rows(mixture):
    fours = TrainingBatches(mixture, 4, LENGTHS, seed=1)
    twelve = TrainingBatches(mixture, 12, LENGTHS, seed=1).batch(2)
    rows = [fours.batch(step) for step in (6, 7, 8)]
    np.testing.assert_array_equal(
        np.concatenate([batch.inputs for batch in rows]), twelve.inputs
    )


def test_each_epoch_sees_every_row_once_with_new_noise(byte_vocabulary):
    documents = random_documents(5, 70 * 40)
    add_text_task("one", documents, byte_vocabulary)
    batches = TrainingBatches("one", 10, LENGTHS, seed=0)
    num_rows = batches.num_rows["one"]
    rows = [
        (inputs, _restore(inputs, targets, byte_vocabulary))
        for step in range(2 * num_rows // 10 + 1)
        for inputs, targets in zip(
            batches.batch(step).inputs, batches.batch(step).targets, strict=True
        )
    ]
    first, second = rows[:num_rows], rows[num_rows : 2 * num_rows]
    assert {text for _, text in first} == {text for _, text in second}
    assert len({text for _, text in first}) == num_rows
    assert [text for _, text in first] != [text for _, text in second]
    inputs_of = {text: inputs.tolist() for inputs, text in first}
    assert all(inputs_of[text] != inputs.tolist() for inputs, text in second)


def test_shares_epochs_and_sizes_are_reported_by_task(mixture):
    batches = TrainingBatches(mixture, 32, LENGTHS, seed=0)
    assert batches.shares == pytest.approx(
        {"large": 5 / 8, "small": 2 / 8, "pairs": 1 / 8}, abs=1e-5
    )
    assert batches.num_rows["pairs"] == 7
    assert batches.num_tokens["small"] == 1400
    assert set(batches.epochs(0).values()) == {0.0}
    counts = np.zeros(3, int)
    for step in range(50):
        counts += np.bincount(batches.batch(step).task, minlength=3)
    expected = {
        name: count / batches.num_rows[name]
        for name, count in zip(batches.task_names, counts, strict=True)
    }
    assert batches.epochs(50) == expected


def test_a_task_keeps_its_rows_when_the_mixture_changes(mixture):
    """Permutation and noise belong to the task, not to its place in the mixture."""
    seqio.MixtureRegistry.add("other", [("pairs", 1), ("small", 3)])
    alone, mixed = (
        TrainingBatches(name, 64, LENGTHS, seed=9) for name in ("other", mixture)
    )
    first = {
        name: np.concatenate(
            [
                b.inputs[b.task == batches.task_names.index("small")]
                for b in map(batches.batch, range(4))
            ]
        )[:30].tolist()
        for name, batches in (("alone", alone), ("mixed", mixed))
    }
    assert first["alone"] == first["mixed"]


def test_two_objectives_in_one_mixture(byte_vocabulary):
    heavy = [*TEXT_STEPS[:3], SpanCorruption(noise_density=0.5), TEXT_STEPS[4]]
    documents = random_documents(1, 3000)
    add_text_task("light", documents, byte_vocabulary)
    add_text_task("heavy", documents, byte_vocabulary, heavy)
    seqio.MixtureRegistry.add("both", [("light", 1), ("heavy", 1)])
    lengths = {"inputs": 64, "targets": 64}
    batch = TrainingBatches("both", 40, lengths, seed=0).batch(0)
    targets = [(batch.targets[batch.task == task] != 0).sum(1).max() for task in (0, 1)]
    assert targets == [
        SpanCorruption(0.5).lengths(64)[1],
        SpanCorruption().lengths(64)[1],
    ]


def test_a_rate_of_zero_leaves_a_task_out(mixture):
    seqio.MixtureRegistry.add("without", [("large", 1.0), ("small", 0.0)])
    assert TrainingBatches("without", 4, LENGTHS, seed=0).task_names == ("large",)


_CHILD = """
import sys
sys.path[:0] = [{tests!r}]
from test_batches import digest_of_a_batch
print("digest", digest_of_a_batch())
"""


def digest_of_a_batch() -> str:
    vocabulary = seqio.ByteVocabulary(extra_ids=100)
    for seed, name in enumerate(("b", "a", "c")):
        add_text_task(name, random_documents(seed, 3000), vocabulary)
    seqio.MixtureRegistry.add("abc", [("b", 1), ("a", 2), ("c", 3)])
    batch = TrainingBatches("abc", 50, LENGTHS, seed=5).batch(1234)
    content = batch.inputs.tobytes() + batch.targets.tobytes() + batch.task.tobytes()
    return hashlib.sha256(content).hexdigest()


@pytest.mark.slow
@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_a_process_with_another_hash_seed_builds_the_same_batch(hash_seed, tmp_path):
    environment = {
        **os.environ,
        "PYTHONHASHSEED": hash_seed,
        "MTMOE_CACHE": str(tmp_path / "other"),
    }
    script = _CHILD.format(tests=str(Path(__file__).parent))
    output = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert output.split("digest ")[1].strip() == digest_of_a_batch()


def test_bad_input_is_an_error_before_the_first_batch(mixture, byte_vocabulary):
    def load(name="mix", batch_size=4, lengths=LENGTHS, **more):
        return TrainingBatches(name, batch_size, lengths, seed=0, **more)

    with pytest.raises(UnknownNameError, match="did you mean mix"):
        load("mixx")
    with pytest.raises(UnknownNameError, match="split of task 'large'"):
        load(split="tain")
    with pytest.raises(ConfigError, match="batch_size is 0"):
        load(batch_size=0)
    with pytest.raises(ConfigError, match="lengths are"):
        load(lengths={"inputs": 64})
    with pytest.raises(ConfigError, match="need targets of"):
        load(lengths={"inputs": 64, "targets": 5})
    with pytest.raises(ConfigError, match="need 103 sentinels.*has 100"):
        load(lengths={"inputs": 1856, "targets": 500})
    add_supervised_task("nothing", [], byte_vocabulary)
    with pytest.raises(CorpusError, match="'nothing'"):
        load("nothing")
    add_text_task("foreign", ["abc"], seqio.ByteVocabulary(extra_ids=9))
    seqio.MixtureRegistry.add("two", [("large", 1), ("foreign", 1)])
    with pytest.raises(ConfigError, match="different vocabularies"):
        load("two")


def test_a_supervised_token_outside_the_vocabulary_is_an_error(byte_vocabulary):
    task = add_supervised_task("bad", PAIRS, byte_vocabulary)

    @seqio.map_over_dataset
    def shift(row):
        return {**row, "targets": row["targets"] + 1000}

    seqio.TaskRegistry.remove("bad")
    seqio.TaskRegistry.add_provider(
        "bad", task.replace(preprocessors=[*task.preprocessors, shift])
    )
    with pytest.raises(CorpusError, match="outside the vocabulary"):
        TrainingBatches("bad", 4, LENGTHS, seed=0)


def test_a_task_must_have_inputs_and_targets_of_one_vocabulary(byte_vocabulary):
    def add(name, **vocabularies):
        seqio.TaskRegistry.add(
            name,
            source=seqio.TextLineDataSource({"train": "/nowhere"}),
            preprocessors=[],
            output_features={
                key: seqio.Feature(vocabulary)
                for key, vocabulary in vocabularies.items()
            },
        )

    add("decoder", targets=byte_vocabulary)
    with pytest.raises(ConfigError, match="no feature 'inputs'; it has 'targets'"):
        TrainingBatches("decoder", 4, LENGTHS, seed=0)
    add("mixed", targets=byte_vocabulary, inputs=seqio.ByteVocabulary(extra_ids=3))
    with pytest.raises(ConfigError, match="for inputs and targets"):
        TrainingBatches("mixed", 4, LENGTHS, seed=0)
