"""Counts of training tokens: those of the rows, kept under the content's name."""

from __future__ import annotations

import collections

import numpy as np
import pytest
import seqio
import tensorflow as tf
from fake_tasks import add_supervised_task, add_text_task, random_documents

from mtmoe.data.evaluation import token_counts
from mtmoe.data.evaluation.token_counts import training_counts
from mtmoe.data.rows.cached import open_task_rows
from mtmoe.data.tasks.registry import get_task

pytestmark = pytest.mark.usefixtures("own_cache", "clean_registry")

LENGTHS = {"inputs": 64, "targets": 20}


def counted(vocabulary, texts):
    counts = np.zeros(vocabulary.vocab_size, np.int64)
    for text in texts:
        np.add.at(counts, vocabulary.encode(text), 1)
    return counts


def count(name, max_tokens=None):
    task = get_task(name)
    size = task.output_features["targets"].vocabulary.vocab_size
    return training_counts(task, LENGTHS, size, max_tokens)


def test_text_is_counted_as_it_is_trained_on(byte_vocabulary):
    documents = random_documents(0, 8970)
    add_text_task("text", documents, byte_vocabulary)
    found = count("text")
    rows = open_task_rows(get_task("text"), "train", LENGTHS)
    seen = "".join(documents)[: rows.num_tokens]
    assert len(seen) < 8970  # a short last row is not trained on
    np.testing.assert_array_equal(found.counts, counted(byte_vocabulary, [seen]))
    assert found.num_tokens == found.of_tokens == len(seen)


def test_counts_are_kept_and_made_anew_when_the_text_changes(
    byte_vocabulary, own_cache, monkeypatch
):
    add_text_task("text", random_documents(1, 4000), byte_vocabulary)
    first = count("text")
    [kept] = own_cache.glob("counts/*.npz")

    def fails(*args, **kwargs):
        raise AssertionError("read again")

    with monkeypatch.context() as patch:
        patch.setattr(token_counts, "open_task_rows", fails)
        again = count("text")
    np.testing.assert_array_equal(again.counts, first.counts)
    assert (again.num_tokens, again.of_tokens) == (first.num_tokens, first.of_tokens)
    kept.write_bytes(kept.read_bytes()[:100])
    np.testing.assert_array_equal(count("text").counts, first.counts)
    assert len(kept.read_bytes()) > 100
    add_text_task("other", random_documents(2, 4000), byte_vocabulary)
    assert not np.array_equal(count("other").counts, first.counts)
    assert len(list(own_cache.glob("counts/*.npz"))) == 2


def test_of_a_large_text_pages_spread_over_it_are_counted(byte_vocabulary):
    halves = ["a" * 100_000, "b" * 100_000]
    add_text_task("halves", halves, byte_vocabulary)
    found = count("halves", max_tokens=20_000)
    assert found.num_tokens <= 20_000 < found.of_tokens
    a, b = (found.counts[byte_vocabulary.encode(letter)[0]] for letter in "ab")
    assert a + b == found.num_tokens and abs(int(a) - int(b)) <= 2 * 2048


def test_examples_are_counted_as_they_are_trimmed(byte_vocabulary):
    pairs = [("a", "bc"), ("d", "e" * 50), ("f", "g")] * 20
    add_supervised_task("pairs", pairs, byte_vocabulary)
    found = count("pairs")
    letters = collections.Counter("bc" * 20 + "e" * 19 * 20 + "g" * 20)
    for letter, times in letters.items():
        assert found.counts[byte_vocabulary.encode(letter)[0]] == times
    part = count("pairs", max_tokens=200)
    assert part.num_tokens < found.num_tokens == part.of_tokens


def test_a_stream_is_counted_from_its_beginning(byte_vocabulary, own_cache):
    task = add_supervised_task("pairs", [("a", "bc")] * 50, byte_vocabulary)
    seqio.TaskRegistry.add(
        "streamed",
        source=task.source,
        preprocessors=[*task.preprocessors, _unchanged],
        output_features=task.output_features,
        metric_fns=[],
    )
    letter = byte_vocabulary.encode("b")[0]
    assert count("streamed").counts[letter] == 50
    part = count("streamed", max_tokens=25)
    assert part.counts[letter] == 5 and part.of_tokens is None
    assert not list(own_cache.glob("counts/*"))


def _unchanged(dataset: tf.data.Dataset) -> tf.data.Dataset:
    return dataset
