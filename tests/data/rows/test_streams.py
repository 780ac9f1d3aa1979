"""Tasks that no cache can hold train through SeqIO's own pipeline."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import seqio
import tensorflow as tf
from batch_contents import same_arrays
from fake_tasks import TEXT_STEPS, add_supervised_task, add_text_task, features

from mtmoe.data.batches.training import Packing, TrainingBatches
from mtmoe.data.rows.streams import StreamedTask
from mtmoe.errors import ConfigError, CorpusError, UnknownNameError

pytestmark = pytest.mark.usefixtures("own_cache", "clean_registry")

LENGTHS = {"inputs": 32, "targets": 12}
NUM_PAIRS = 30
PAIRS = [(f"question {i}", f"answer {i}") for i in range(NUM_PAIRS)]


@seqio.map_over_dataset(num_seeds=1)
def random_mark(row, seed):
    """A step that gives another example each time."""
    mark = tf.random.stateless_uniform([1], seed, 3, 90, tf.int32)
    return {**row, "inputs": tf.concat([mark, row["inputs"]], axis=0)}


def add_streamed_task(name, pairs, vocabulary, steps=(random_mark,)) -> None:
    """A task with steps behind the place of its cache."""
    task = add_supervised_task(name, pairs, vocabulary)
    seqio.TaskRegistry.remove(name)
    online = [*task.preprocessors[:-1], *steps, task.preprocessors[-1]]
    seqio.TaskRegistry.add_provider(name, task.replace(preprocessors=online))


@pytest.fixture
def task(byte_vocabulary):
    add_streamed_task("streamed", PAIRS, byte_vocabulary)
    return seqio.TaskRegistry.get("streamed")


def _read(stream, counters):
    inputs, targets = stream.examples(counters)
    return [
        tuple(
            rows.tokens[rows.bounds[i] : rows.bounds[i + 1]].tolist()
            for rows in (inputs, targets)
        )
        for i in range(len(inputs))
    ]


def test_a_stream_gives_every_example_once_a_pass_in_another_order(task):
    examples = _read(StreamedTask(task, "train", LENGTHS, seed=3), range(2 * NUM_PAIRS))
    vocabulary = task.output_features["targets"].vocabulary
    answers = [vocabulary.decode(targets[:-1]) for _, targets in examples]
    first, second = answers[:NUM_PAIRS], answers[NUM_PAIRS:]
    assert sorted(first) == sorted(second) == sorted(answer for _, answer in PAIRS)
    assert first != second
    marks = {inputs[0] for inputs, _ in examples}
    assert len(marks) > 20
    assert all(inputs[-1] == targets[-1] == 1 for inputs, targets in examples)


def test_any_example_is_the_same_wherever_reading_begins(task, capfd, monkeypatch):
    monkeypatch.setattr("mtmoe.data.rows.streams._SAID_FROM", 40)
    whole = _read(StreamedTask(task, "train", LENGTHS, seed=3), range(35))
    late = StreamedTask(task, "train", LENGTHS, seed=3)
    assert _read(late, [31, 34]) == [whole[31], whole[34]]
    assert _read(late, [3]) == [whole[3]]
    assert _read(late, [4, 9]) == [whole[4], whole[9]]
    other = _read(StreamedTask(task, "train", LENGTHS, seed=4), range(9))
    assert other != whole[:9]
    assert capfd.readouterr().err == ""
    _read(StreamedTask(task, "train", LENGTHS, seed=3), [40])
    assert "its first 40 examples are made again" in capfd.readouterr().err


def test_what_cannot_be_streamed_is_an_error(task, byte_vocabulary):
    with pytest.raises(UnknownNameError, match="split of task 'streamed'"):
        StreamedTask(task, "tain", LENGTHS, seed=0)
    add_streamed_task("nothing", [], byte_vocabulary)
    with pytest.raises(CorpusError, match="'nothing' has no examples in split 'train'"):
        TrainingBatches("nothing", 2, LENGTHS, seed=0)

    @seqio.map_over_dataset
    def shift(row):
        return {**row, "targets": row["targets"] + 1000}

    add_streamed_task("foreign", PAIRS, byte_vocabulary, [shift])
    with pytest.raises(CorpusError, match="outside the vocabulary of 359 tokens"):
        TrainingBatches("foreign", 2, LENGTHS, seed=0)

    @seqio.map_over_dataset
    def negative(row):
        return {**row, "inputs": row["inputs"] - 1000}

    add_streamed_task("negative", PAIRS, byte_vocabulary, [negative])
    with pytest.raises(CorpusError, match="token -9.. is outside"):
        TrainingBatches("negative", 2, LENGTHS, seed=0)
    feature = seqio.Feature(byte_vocabulary, rank=2)
    square = task.replace(output_features={"inputs": feature, "targets": feature})
    with pytest.raises(ConfigError, match="has rank 2 and type int32"):
        StreamedTask(square, "train", LENGTHS, seed=0)


@pytest.fixture
def mixture(task, byte_vocabulary):
    """A streamed task beside a text."""
    many = [(f"question {i}", f"answer {i}") for i in range(150)]
    seqio.TaskRegistry.remove("streamed")
    add_streamed_task("streamed", many, byte_vocabulary)
    add_text_task("text", ["the quick brown fox " * 40], byte_vocabulary)
    seqio.MixtureRegistry.add("mixed", [("streamed", 3), ("text", 1)])
    return "mixed"


def test_streamed_and_cached_tasks_train_together(mixture, capfd):
    batches = TrainingBatches(mixture, 8, LENGTHS, seed=5)
    said = capfd.readouterr().err
    assert "1 task is not cached (streamed): its steps run anew in every pass" in said
    assert "examples a second, and resuming replays them" in said
    assert "streamed cannot be cached: steps other than append_eos" in said
    assert batches.num_rows["streamed"] is None
    assert batches.epochs(10)["streamed"] is None and batches.epochs(10)["text"] > 0
    built = [batches.batch(step) for step in range(9)]
    iterator = batches.iterate()
    assert all(same_arrays(a, b) for a, b in zip(built, iterator, strict=False))
    iterator.close()
    resumed = batches.iterate(7)
    assert all(same_arrays(a, b) for a, b in zip(built[7:], resumed, strict=False))
    resumed.close()


@pytest.mark.slow
def test_streamed_tasks_go_back_and_are_split_over_processes(mixture):
    batches = TrainingBatches(mixture, 8, LENGTHS, seed=5)
    late, early = batches.batch(5), batches.batch(2)
    assert same_arrays(batches.batch(5), late) and same_arrays(batches.batch(2), early)
    parts = [
        TrainingBatches(mixture, 8, LENGTHS, seed=5).of_rows(rows).batch(5)
        for rows in (range(4), range(4, 8))
    ]
    np.testing.assert_array_equal(
        np.concatenate([part.features["inputs"] for part in parts]),
        late.features["inputs"],
    )


def test_a_streamed_task_is_not_packed_and_not_passed_too_often(task):
    with pytest.raises(ConfigError, match="cannot be packed: 'streamed'.*mtmoe cache"):
        TrainingBatches("streamed", 8, LENGTHS, seed=5, packing=Packing())
    batches = TrainingBatches("streamed", 10, LENGTHS, seed=5, max_epochs=1, steps=100)
    read = itertools.islice(batches.iterate(), 6)
    with pytest.raises(ConfigError, match="'streamed' begins its pass number 2; max"):
        list(read)


def test_a_decoder_alone_reads_a_stream_too(task):
    batch = TrainingBatches("streamed", 4, {"targets": 24}, seed=1).batch(0)
    assert batch.features["targets"].shape == (4, 24)
    vocabulary = task.output_features["targets"].vocabulary
    for tokens, prefix, weights in zip(
        batch.features["targets"],
        batch.features["targets_prefix"],
        batch.features["targets_loss_weights"],
        strict=True,
    ):
        inputs, targets = tokens[prefix == 1], tokens[weights == 1]
        assert vocabulary.decode(inputs[1:]).startswith("question")
        assert vocabulary.decode(targets).startswith("answer ")
        assert inputs[-1] == targets[-1] == 1


def test_a_text_of_targets_alone_is_streamed_if_it_is_no_text_task(byte_vocabulary):
    """`inputs` are missing altogether: a language model's task, with a random step."""

    @seqio.map_over_dataset(num_seeds=1)
    def mark(row, seed):
        first = tf.random.stateless_uniform([1], seed, 3, 90, tf.int32)
        return {"targets": tf.concat([first, row["targets"]], axis=0)}

    add_text_task("text", ["one two three"] * 9, byte_vocabulary)
    text = seqio.TaskRegistry.get("text")
    steps = [*TEXT_STEPS[:3], mark, seqio.preprocessors.append_eos_after_trim]
    only = {"targets": features(byte_vocabulary)["targets"]}
    seqio.TaskRegistry.add_provider(
        "only", text.replace(name="only", preprocessors=steps, output_features=only)
    )
    batch = TrainingBatches("only", 3, {"targets": 20}, seed=1).batch(0)
    assert (
        not batch.features["targets_prefix"].any()
        and batch.features["targets_loss_weights"].sum() == 3 * 15
    )
