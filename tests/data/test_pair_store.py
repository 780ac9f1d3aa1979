"""Pairs encoded directly are what SeqIO's own pipeline gives, and are kept on disk."""

from __future__ import annotations

import numpy as np
import pytest
import seqio

from mtmoe.data.batches import TrainingBatches
from mtmoe.data.pair_store import is_task_of_pairs, token_pairs
from mtmoe.data.registration import register_task
from mtmoe.data.registry import get_task
from mtmoe.data.sources.pairs import PairSource
from mtmoe.data.task_card import TaskCard
from mtmoe.data.task_rows import load_task_rows

pytestmark = pytest.mark.usefixtures("own_cache", "clean_registry", "bytes_configured")

EXAMPLES = [
    {"inputs": "Kiswahili kwa Kiingereza: watu wote", "targets": "all people"},
    {"inputs": "中文:", "targets": "人人生而自由,在尊严和权利上一律平等。"},
    {"inputs": "a", "targets": "b"},
]
LENGTHS = {"inputs": 24, "targets": 12}
CARD = TaskCard(family="translation")


def add(name, fingerprint=None, **arguments):
    made = []

    def examples(split):
        made.append(split)
        return EXAMPLES

    source = PairSource(examples, ["train"], fingerprint)
    register_task(name, source, CARD, **arguments)
    return get_task(name), made


def rows_of(task):
    rows = load_task_rows(task, "train", LENGTHS)
    return rows.make(np.arange(len(rows)), np.zeros((len(rows), 2), np.int32))


def test_the_tokens_are_those_of_seqio():
    task, _ = add("pairs.plain")
    assert is_task_of_pairs(task)
    inputs, targets = rows_of(task)
    dataset = task.get_dataset(LENGTHS, "train", shuffle=False, num_epochs=1)
    for number, row in enumerate(dataset.as_numpy_iterator()):
        for feature, made in (("inputs", inputs), ("targets", targets)):
            size = len(row[feature])
            np.testing.assert_array_equal(made[number, :size], row[feature])
            assert not made[number, size:].any()
    assert number == len(EXAMPLES) - 1


def test_a_preprocessor_of_its_own_goes_through_seqio():
    def upper(dataset):
        return dataset

    task, _ = add("pairs.stepped", preprocessors=[upper])
    assert not is_task_of_pairs(task)
    np.testing.assert_array_equal(rows_of(task)[0], rows_of(add("pairs.p")[0])[0])


def test_a_source_that_names_its_content_is_not_made_again():
    task, made = add("pairs.named", lambda: "first")
    first = token_pairs(task, "train")
    again = token_pairs(task, "train")
    assert made == ["train"]
    for feature in ("inputs", "targets"):
        kept, fresh = getattr(again, feature), getattr(first, feature)
        np.testing.assert_array_equal(kept.tokens, fresh.tokens)
        np.testing.assert_array_equal(kept.bounds, fresh.bounds)


def test_other_content_or_another_vocabulary_is_never_served_stale_tokens():
    content = ["first"]
    task, made = add("pairs.changing", lambda: content[0])
    token_pairs(task, "train")
    content[0] = "second"
    token_pairs(task, "train")
    assert len(made) == 2
    import gin

    gin.parse_config("byte_vocabulary.extra_ids = 7")
    token_pairs(task, "train")
    assert len(made) == 3


def test_a_damaged_file_is_made_again(own_cache):
    task, made = add("pairs.damaged", lambda: "first")
    token_pairs(task, "train")
    [path] = (own_cache / "pairs").glob("*.npz")
    path.write_bytes(path.read_bytes()[:100])
    token_pairs(task, "train")
    assert len(made) == 2


def test_batches_of_pairs():
    add("pairs.batched")
    batch = TrainingBatches("pairs.batched", 8, LENGTHS, seed=0).batch(0)
    assert batch.inputs.shape == (8, 24)
    assert (batch.targets[:, 0] > 0).all()
    assert seqio.TaskRegistry.get("pairs.batched").source.num_input_examples("train")
