"""Held-out examples: fixed, complete, the same from a task and from a file."""

from __future__ import annotations

import gin
import numpy as np
import pytest
import seqio
import tensorflow as tf
from fake_tasks import (
    TEXT_STEPS,
    add_supervised_task,
    add_text_task,
    features,
    random_documents,
)

from mtmoe.data.evaluation.examples import evaluation_examples, text_examples
from mtmoe.data.objectives.span_corruption import SpanCorruption
from mtmoe.errors import ConfigError, CorpusError, DamagedDataError, UnknownNameError

pytestmark = pytest.mark.usefixtures("own_cache", "clean_registry")

LENGTHS = {"inputs": 64, "targets": 20}


def _noise_tokens(targets: np.ndarray) -> int:
    return int(((targets > 1) & (targets < 259)).sum())


def test_every_chunk_is_masked_several_times_and_the_tail_is_kept(byte_vocabulary):
    documents = random_documents(0, 300)
    add_text_task("text", documents, byte_vocabulary)
    raw_length, targets_length = SpanCorruption().lengths(64)
    examples = evaluation_examples("text", "validation", LENGTHS)
    assert raw_length * 4 < 300 < raw_length * 5
    np.testing.assert_array_equal(examples.group, np.repeat(np.arange(5), 4))
    assert examples.inputs.shape == (20, 64) and examples.targets.shape == (20, 20)
    assert examples.group.dtype == examples.inputs.dtype == np.int32
    full, tail = examples.targets[:16], examples.targets[16:]
    assert ((full != 0).sum(axis=1) == targets_length).all()
    assert 0 < (tail != 0).sum(axis=1).max() < targets_length
    assert len({row.tobytes() for row in examples.inputs}) >= 17
    covered = sum(_noise_tokens(row) for row in examples.targets[::4])
    assert covered == pytest.approx(0.15 * 300, abs=3)


def test_examples_are_fixed_by_text_and_seed_alone(byte_vocabulary):
    documents = random_documents(1, 200)
    add_text_task("text", documents, byte_vocabulary)
    first = evaluation_examples("text", "validation", LENGTHS, num_noise_samples=2)
    from_file = text_examples(documents[-1:], LENGTHS, 2, vocabulary=byte_vocabulary)
    for name in ("inputs", "targets", "group"):
        np.testing.assert_array_equal(getattr(first, name), getattr(from_file, name))
    other = evaluation_examples("text", "validation", LENGTHS, 2, seed=1)
    assert not np.array_equal(first.inputs, other.inputs)
    fewer = evaluation_examples("text", "validation", LENGTHS, 1)
    np.testing.assert_array_equal(fewer.inputs, first.inputs[::2])


def test_a_supervised_task_gives_its_examples_once(byte_vocabulary):
    add_supervised_task("pairs", [("a", "b"), ("cd", "e")], byte_vocabulary)
    examples = evaluation_examples("pairs", "train", LENGTHS)
    assert examples.group.tolist() == [0, 1]
    assert byte_vocabulary.decode(examples.inputs[1][:2]) == "cd"
    assert examples.targets[0][:3].tolist() == [*byte_vocabulary.encode("b"), 1, 0]


def test_a_task_that_no_cache_holds_is_run_once_in_order(byte_vocabulary):
    task = add_supervised_task("pairs", [("a", "b"), ("cd", "e")], byte_vocabulary)
    seqio.TaskRegistry.add(
        "streamed",
        source=task.source,
        preprocessors=[*task.preprocessors, _twice],
        output_features=task.output_features,
        metric_fns=[],
    )
    examples = evaluation_examples("streamed", "train", LENGTHS)
    assert examples.group.tolist() == [0, 1, 2, 3]
    once = evaluation_examples("pairs", "train", LENGTHS)
    np.testing.assert_array_equal(examples.inputs, np.repeat(once.inputs, 2, axis=0))
    np.testing.assert_array_equal(examples.targets, np.repeat(once.targets, 2, axis=0))


def _twice(dataset: tf.data.Dataset) -> tf.data.Dataset:
    return dataset.flat_map(lambda row: tf.data.Dataset.from_tensors(row).repeat(2))


def test_text_too_large_to_be_cached_in_passing_is_masked_alike(
    byte_vocabulary, capsys
):
    documents = random_documents(2, 700)
    add_text_task("kept", documents, byte_vocabulary)
    gin.parse_config("token_cache.build_up_to_examples = 0")
    _add_stream_of_text("large", documents, byte_vocabulary, TEXT_STEPS)
    kept = evaluation_examples("kept", "train", LENGTHS, 2)
    large = evaluation_examples("large", "train", LENGTHS, 2)
    for name in ("inputs", "targets", "group"):
        np.testing.assert_array_equal(getattr(large, name), getattr(kept, name))
    _add_stream_of_text("empty", [""], byte_vocabulary, TEXT_STEPS)
    with pytest.raises(CorpusError, match="'empty' has no text in split 'train'"):
        evaluation_examples("empty", "train", LENGTHS)
    shifted = (*TEXT_STEPS[:2], _beyond_the_vocabulary, *TEXT_STEPS[2:])
    _add_stream_of_text("outside", documents, byte_vocabulary, shifted)
    with pytest.raises(CorpusError, match="is outside the vocabulary of 359 tokens"):
        evaluation_examples("outside", "train", LENGTHS)
    capsys.readouterr()


def _add_stream_of_text(name, documents, vocabulary, steps) -> None:
    """Registers text that Python does not hold."""

    def dataset(split: str, shuffle_files: bool, seed: int | None = None):
        del split, shuffle_files, seed
        return tf.data.Dataset.from_tensor_slices({"text": documents})

    seqio.TaskRegistry.add(
        name,
        source=seqio.FunctionDataSource(dataset, splits=["train"]),
        preprocessors=list(steps),
        output_features=features(vocabulary),
        metric_fns=[],
    )


def _beyond_the_vocabulary(dataset: tf.data.Dataset) -> tf.data.Dataset:
    return dataset.map(lambda row: {**row, "targets": row["targets"] + 300})


def test_a_damaged_record_is_an_error_not_other_examples(byte_vocabulary, own_cache):
    documents = random_documents(3, 900)
    add_text_task("text", documents, byte_vocabulary)
    evaluation_examples("text", "train", LENGTHS)
    (records,) = own_cache.glob("tasks/text/train-*/*.array_record")
    content = bytearray(records.read_bytes())
    tokens = np.array(byte_vocabulary.encode(documents[1]), np.uint16)
    content[content.index(tokens.tobytes())] ^= 1
    records.write_bytes(content)
    with pytest.raises(DamagedDataError, match=f"{records.name} at byte"):
        evaluation_examples("text", "train", LENGTHS)


def test_the_configured_vocabulary_and_objective_are_the_default():
    gin.parse_config(
        """
        import mtmoe.data.vocabulary.configured
        configured_vocabulary.factory = @byte_vocabulary
        SpanCorruption.noise_density = 0.3
        """
    )
    examples = text_examples(["x" * 40], {"inputs": 64, "targets": 40}, 1)
    assert _noise_tokens(examples.targets[0]) == 12


def test_bad_input_is_an_error(byte_vocabulary):
    add_text_task("text", ["abc"], byte_vocabulary)
    with pytest.raises(UnknownNameError, match="did you mean text"):
        evaluation_examples("texd", "validation", LENGTHS)
    with pytest.raises(UnknownNameError, match="split"):
        evaluation_examples("text", "valid", LENGTHS)
    with pytest.raises(ConfigError, match="need targets"):
        evaluation_examples("text", "train", {"inputs": 64, "targets": 4})
    with pytest.raises(ConfigError, match="for a decoder alone, 'targets'"):
        evaluation_examples("text", "train", {"inputs": 64})
    with pytest.raises(CorpusError, match="no text"):
        text_examples(["", ""], LENGTHS, vocabulary=byte_vocabulary)
