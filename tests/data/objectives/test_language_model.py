"""Language modelling: t5's `lm` by rows, in batches and in evaluation."""

from __future__ import annotations

import numpy as np
import pytest
import seqio
import tensorflow as tf
from fake_tasks import TEXT_STEPS, add_text_task, features, random_documents

from mtmoe.data.batches.training import TrainingBatches
from mtmoe.data.evaluation.examples import evaluation_examples
from mtmoe.data.ground.keys import fold
from mtmoe.data.ground.token_rows import join_rows
from mtmoe.data.objectives.language_model import LanguageModel
from mtmoe.data.objectives.objective import TokenObjective
from mtmoe.data.tasks.verify import verify_task
from mtmoe.errors import ConfigError

STEPS = [*TEXT_STEPS[:3], LanguageModel(), TEXT_STEPS[4]]
LENGTHS = {"inputs": 2, "targets": 32}


def test_lengths_come_from_the_targets():
    assert LanguageModel().lengths(2, 512) == (511, 512)
    assert LanguageModel().lengths(None, 512) == (511, 512), "a decoder alone"
    assert LanguageModel().num_sentinels(511) == 0
    with pytest.raises(ConfigError, match="length of the targets"):
        LanguageModel().lengths(512)
    with pytest.raises(ConfigError, match="no room"):
        LanguageModel().lengths(2, 1)
    assert isinstance(LanguageModel(), TokenObjective)


def test_targets_are_the_rows_and_inputs_are_empty():
    rows, keys = join_rows([[5, 6, 7], [], [8]]), fold(0, np.arange(3))
    inputs, targets = LanguageModel().corrupt(rows, keys, 1000)
    assert inputs.bounds.tolist() == [0, 0, 0, 0] and inputs.tokens.size == 0
    assert targets.tokens.tolist() == [5, 6, 7, 8]
    assert targets.bounds.tolist() == [0, 3, 3, 4]
    sizes = LanguageModel().sizes([3, 0, 1], keys)
    assert [side.tolist() for side in sizes] == [[0, 0, 0], [3, 0, 1]]
    assert sizes[0].dtype == sizes[1].dtype == np.int32


@pytest.mark.usefixtures("own_cache", "clean_registry")
def test_batches_hold_the_text_in_the_targets_and_eos_in_the_inputs(byte_vocabulary):
    documents = random_documents(4, 1000)
    add_text_task("lm", documents, byte_vocabulary, STEPS)
    text = "".join(documents)
    rows = {text[i : i + 31] for i in range(0, 1000, 31)}
    seen = set()
    batches = TrainingBatches("lm", 11, LENGTHS, seed=0)
    for step in range(3):
        batch = batches.batch(step)
        assert (batch.features["inputs"] == [1, 0]).all()
        for targets in batch.features["targets"]:
            end = targets.tolist().index(1)
            assert not targets[end + 1 :].any()
            seen.add(byte_vocabulary.decode(targets[:end].tolist()))
    assert seen == rows and batches.num_rows["lm"] == 33
    held_out = evaluation_examples("lm", "validation", LENGTHS, 1)
    spelt = "".join(
        byte_vocabulary.decode(row[: row.tolist().index(1)].tolist())
        for row in held_out.targets
    )
    assert spelt == documents[-1]


@pytest.mark.usefixtures("own_cache", "clean_registry")
def test_one_document_in_seqio_is_what_t5s_lm_makes_of_it(byte_vocabulary):
    from t5.data import preprocessors

    document = "All human beings are born free"
    dataset = preprocessors.lm(tf.data.Dataset.from_tensors({"text": document}))
    both = features(byte_vocabulary)
    for step in (seqio.preprocessors.tokenize, seqio.preprocessors.append_eos):
        dataset = step(dataset, both)
    (expected,) = dataset.as_numpy_iterator()
    task = add_text_task("one", [document], byte_vocabulary, STEPS)
    rows = task.get_dataset(LENGTHS, "train", shuffle=False).as_numpy_iterator()
    (row,) = rows
    np.testing.assert_array_equal(row["inputs"], expected["inputs"])
    np.testing.assert_array_equal(row["targets"], expected["targets"])


@pytest.mark.usefixtures("own_cache", "clean_registry")
def test_seqio_joins_documents_and_cuts_rows_that_fit(byte_vocabulary):
    documents = random_documents(5, 700)
    task = add_text_task("rows", documents, byte_vocabulary, STEPS)
    rows = list(task.get_dataset(LENGTHS, "train", shuffle=False).as_numpy_iterator())
    assert [len(row["targets"]) for row in rows] == [32] * 22 + [700 - 22 * 31 + 1]
    tokens = np.concatenate([row["targets"][:-1] for row in rows])
    assert byte_vocabulary.decode(tokens.tolist()) == "".join(documents)
    assert all(row["inputs"].tolist() == [1] for row in rows)


@pytest.mark.usefixtures("own_cache", "clean_registry")
def test_empty_inputs_are_no_problem_of_a_language_model(byte_vocabulary):
    task = add_text_task("checked", random_documents(5, 99), byte_vocabulary, STEPS)
    found = verify_task(task, "train", lengths=LENGTHS)
    assert found.problems == () and found.inputs_lengths == (1.0, 1)
