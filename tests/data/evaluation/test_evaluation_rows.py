"""A seeded choice of rows: spread, always the same, of the same noise as the whole."""

from __future__ import annotations

import gin
import numpy as np
import pytest
from fake_tasks import (
    TEXT_STEPS,
    add_supervised_task,
    add_text_task,
    features,
    random_documents,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from mtmoe.data.evaluation.examples import evaluation_examples, text_examples
from mtmoe.data.evaluation.rows import Coverage, RowBudget, stretches
from mtmoe.data.token_cache.reader import CachedSplit
from mtmoe.errors import EmptySplitError

pytestmark = pytest.mark.usefixtures("own_cache", "clean_registry")

LENGTHS = {"inputs": 64, "targets": 20}
FIELDS = ("inputs", "targets", "group")


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 10**12), st.integers(1, 300), st.integers(0, 2**64 - 1))
def test_a_number_of_each_stretch(count, chosen, key):
    chosen = min(count, chosen)
    numbers = stretches(count, chosen, np.uint64(key))
    bounds = [i * count // chosen for i in range(chosen + 1)]
    for number, low, high in zip(
        numbers.tolist(), bounds[:-1], bounds[1:], strict=True
    ):
        assert low <= number < high
    np.testing.assert_array_equal(numbers, stretches(count, chosen, np.uint64(key)))


def test_rows_of_a_large_text_are_some_of_the_whole(byte_vocabulary, monkeypatch):
    add_text_task("text", random_documents(0, 20_000), byte_vocabulary)
    whole = evaluation_examples("text", "train", LENGTHS, 2)
    rows = len(whole.group) // 2
    assert whole.coverage == Coverage(rows, rows, 20_000, 20_000)
    read: list[int] = []
    ranges = CachedSplit.token_ranges

    def counted(self, starts, sizes):
        read.append(int(np.sum(sizes)))
        return ranges(self, starts, sizes)

    monkeypatch.setattr(CachedSplit, "token_ranges", counted)
    some = evaluation_examples("text", "train", LENGTHS, 2, budget=RowBudget(2000))
    assert sum(read) == some.coverage.num_tokens <= 2000
    assert some.coverage.of_tokens == 20_000 and some.coverage.of_rows == rows
    chosen = np.unique(some.group)
    assert len(chosen) == some.coverage.num_rows > 20
    assert np.diff(chosen).max() < 2 * rows / len(chosen) + 1  # spread over the text
    kept = np.isin(whole.group, chosen)
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(some, name), getattr(whole, name)[kept])
    other = evaluation_examples(
        "text", "train", LENGTHS, 2, budget=RowBudget(2000, seed=1)
    )
    assert set(other.group.tolist()) != set(some.group.tolist())
    with_room = evaluation_examples(
        "text", "train", LENGTHS, 2, budget=RowBudget(20_100)
    )
    np.testing.assert_array_equal(with_room.inputs, whole.inputs)


def test_text_of_a_file_has_a_budget_too(byte_vocabulary):
    text = "".join(random_documents(5, 9000))
    some = text_examples(
        [text], LENGTHS, 1, vocabulary=byte_vocabulary, budget=RowBudget(900)
    )
    whole = text_examples([text], LENGTHS, 1, vocabulary=byte_vocabulary)
    assert some.coverage.num_tokens <= 900 and some.coverage.of_tokens == 9000
    np.testing.assert_array_equal(some.inputs, whole.inputs[some.group])


def test_examples_are_chosen_by_number_and_by_tokens(byte_vocabulary):
    pairs = [(f"in {i:03}", f"out {i:03}") for i in range(100)]
    add_supervised_task("pairs", pairs, byte_vocabulary)
    whole = evaluation_examples("pairs", "train", LENGTHS)
    for budget, most in (
        (RowBudget(max_examples=7), 7),
        (RowBudget(max_tokens=13 * 20), 20),
        (RowBudget(max_tokens=13 * 20, max_examples=7), 7),
    ):
        some = evaluation_examples("pairs", "train", LENGTHS, budget=budget)
        assert len(some.group) == some.coverage.num_rows == most
        assert some.coverage[1:] == (100, 13 * most, 1300)
        np.testing.assert_array_equal(some.targets, whole.targets[some.group])


def test_what_is_not_cached_is_read_up_to_the_budget(byte_vocabulary, capsys):
    import seqio
    import tensorflow as tf

    taken: list[int] = []

    def dataset(split: str, shuffle_files: bool, seed: int | None = None):
        del shuffle_files, seed

        def documents():
            for number in range(10 if split == "short" else 10**9):
                taken.append(number)
                yield {"text": f"hati namba {number} kuhusu maji na chakula"}

        return tf.data.Dataset.from_generator(
            documents, output_signature={"text": tf.TensorSpec([], tf.string)}
        )

    gin.parse_config("token_cache.build_up_to_examples = 0")
    seqio.TaskRegistry.add(
        "endless",
        source=seqio.FunctionDataSource(dataset, splits=["train", "short"]),
        preprocessors=list(TEXT_STEPS),
        output_features=features(byte_vocabulary),
        metric_fns=[],
    )
    budget = RowBudget(max_tokens=5000)
    some = evaluation_examples("endless", "train", LENGTHS, 1, budget=budget)
    assert 4900 < some.coverage.num_tokens <= 5000
    assert some.coverage.of_tokens is None and some.coverage.of_rows is None
    assert max(taken) < 10_000
    short = evaluation_examples("endless", "short", LENGTHS, 1, budget=budget)
    assert short.coverage.num_tokens == short.coverage.of_tokens
    capsys.readouterr()


def test_an_empty_split_is_an_error_of_its_own(byte_vocabulary):
    add_text_task("empty", ["some", ""], byte_vocabulary)
    with pytest.raises(EmptySplitError, match="no text in split 'validation'"):
        evaluation_examples("empty", "validation", LENGTHS)
