"""Held-out examples: fixed, complete, the same from a task and from a file."""

from __future__ import annotations

import gin
import numpy as np
import pytest
from fake_tasks import add_supervised_task, add_text_task, random_documents

from mtmoe.data.evaluation_examples import evaluation_examples, text_examples
from mtmoe.data.objectives.span_corruption import SpanCorruption
from mtmoe.errors import ConfigError, CorpusError, UnknownNameError

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


def test_the_configured_vocabulary_and_objective_are_the_default():
    gin.parse_config(
        """
        import mtmoe.data.vocabularies
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
    with pytest.raises(CorpusError, match="no text"):
        text_examples(["", ""], LENGTHS, vocabulary=byte_vocabulary)
