"""One task over several sources: in order, shuffled by weight, split by split."""

from __future__ import annotations

from collections import Counter

import seqio
import tensorflow as tf

from mtmoe.data.sources.joined import JoinedSource, Part
from mtmoe.data.sources.pairs import PairSource


def letters(letter: str, number: int, splits=("train",)) -> PairSource:
    def examples(split: str):
        return [{"inputs": f"{split} {i}", "targets": letter} for i in range(number)]

    return PairSource(examples, splits)


def targets(source: seqio.DataSource, split: str = "train", **options) -> list[str]:
    dataset = source.get_dataset(split=split, **options)
    return [example["targets"].decode() for example in dataset.as_numpy_iterator()]


def test_in_order_one_source_follows_the_other():
    source = JoinedSource([Part(letters("a", 2)), Part(letters("b", 3))])
    assert targets(source, shuffle=False) == list("aabbb")
    assert source.num_input_examples("train") == 5


def test_a_part_takes_part_in_the_splits_it_has():
    source = JoinedSource(
        [Part(letters("a", 2, ("train", "test"))), Part(letters("b", 1, ("train",)))]
    )
    assert set(source.splits) == {"train", "test"}
    assert targets(source, "test", shuffle=False) == list("aa")
    assert source.num_input_examples("test") == 2


def test_steps_belong_to_a_part():
    def upper(dataset: tf.data.Dataset) -> tf.data.Dataset:
        return dataset.map(
            lambda x: {**x, "targets": tf.strings.upper(x["targets"])}
        ).take(1)

    source = JoinedSource([Part(letters("a", 2), (upper,)), Part(letters("b", 1))])
    assert targets(source, shuffle=False) == ["A", "b"]


def test_shuffled_by_weight_until_all_are_used():
    source = JoinedSource(
        [Part(letters("a", 30), weight=1), Part(letters("b", 90), weight=3)]
    )
    drawn = targets(source, shuffle=True, seed=3)
    assert Counter(drawn) == {"a": 30, "b": 90}
    assert 5 <= drawn[:60].count("a") <= 25
    assert targets(source, shuffle=True, seed=3) == drawn
