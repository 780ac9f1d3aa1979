"""A data set that cannot be opened, and a mistake of the task's own, in one line."""

from __future__ import annotations

import pytest
import seqio
import tensorflow as tf

from mtmoe.data.batches.preview import preview_examples
from mtmoe.data.batches.training import TrainingBatches
from mtmoe.data.sources.pairs import PairSource
from mtmoe.data.tasks.card import TaskCard
from mtmoe.data.tasks.registration import register_task
from mtmoe.data.tasks.registry import get_task
from mtmoe.data.tasks.verify import verify_task
from mtmoe.errors import CorpusError, UserCodeError

pytestmark = pytest.mark.usefixtures("own_cache", "clean_registry", "bytes_configured")
LENGTHS = {"inputs": 16, "targets": 8}


def unreachable(split, shuffle_files, seed=None):
    raise ConnectionError("no route to host\nand much more")


def wrong_step(dataset):
    raise KeyError("label")


def wrong_in_a_map(dataset):
    return dataset.map(lambda example: {"inputs": example["label"]})


def wrong_in_python(dataset):
    def fails(text):
        raise ValueError("no label")

    def change(example):
        text = tf.numpy_function(fails, [example["inputs"]], tf.string)
        return {**example, "inputs": tf.ensure_shape(text, [])}

    return dataset.map(change)


def read_in_every_way(name):
    return (
        lambda: verify_task(get_task(name), "train"),
        lambda: preview_examples(name, "train", 1, LENGTHS),
        lambda: TrainingBatches(name, 2, LENGTHS, seed=0),
    )


def test_a_source_that_cannot_be_opened():
    source = seqio.FunctionDataSource(unreachable, splits=["train"])
    register_task("read.absent", source, TaskCard("other", origin="TFDS nothing 1.0.0"))
    for read in read_in_every_way("read.absent"):
        with pytest.raises(CorpusError) as caught:
            read()
        message = str(caught.value)
        assert "'read.absent', split 'train'" in message
        line = unreachable.__code__.co_firstlineno + 1
        assert f"ConnectionError: no route to host ({__file__}:{line});" in message
        assert "$TFDS_DATA_DIR" in message


@pytest.mark.parametrize("step", [wrong_step, wrong_in_a_map, wrong_in_python])
def test_a_mistake_in_a_step_is_said_with_its_place(step):
    source = PairSource(lambda split: [{"inputs": "a", "targets": "b"}], ["train"])
    register_task("read.wrong", source, TaskCard("other"), preprocessors=[step])
    for read in read_in_every_way("read.wrong"):
        with pytest.raises(UserCodeError) as caught:
            read()
        message = str(caught.value)
        assert "\n" not in message
        assert "'read.wrong', split 'train'" in message
        assert "label" in message
        assert f"({__file__}:" in message.rpartition("label")[2]


def test_numbers_where_the_tokenizer_wants_text():
    numbers = {"inputs": ["a"], "targets": [1]}
    source = seqio.FunctionDataSource(
        lambda split, shuffle_files, seed=None: tf.data.Dataset.from_tensor_slices(
            numbers
        ),
        splits=["train"],
    )
    register_task("read.numbers", source, TaskCard("other"))
    for read in read_in_every_way("read.numbers"):
        with pytest.raises(UserCodeError, match='"targets" is int32; texts are wanted'):
            read()


def test_text_that_is_not_utf_8_is_not_replaced():
    texts = {"inputs": [b"a", b"a\xff"], "targets": ["b", "b"]}
    source = seqio.FunctionDataSource(
        lambda split, shuffle_files, seed=None: tf.data.Dataset.from_tensor_slices(
            texts
        ),
        splits=["train"],
    )
    register_task("read.bytes", source, TaskCard("other"))
    words = r"example \d: \"inputs\" is not UTF-8: byte 0xff at offset 1"
    verify, _, train = read_in_every_way("read.bytes")
    for read in (verify, train):
        with pytest.raises(CorpusError, match=words):
            read()
    with pytest.raises(CorpusError, match=words):
        preview_examples("read.bytes", "train", 2, LENGTHS)


@pytest.mark.parametrize(
    ("example", "words"),
    [
        ({"inputs": "a"}, 'there is no "targets"; it has "inputs"'),
        ({"inputs": "a", "targets": ["b"]}, '"targets" is a list; a text is wanted'),
    ],
)
def test_an_example_without_the_texts_of_the_task(example, words):
    source = PairSource(lambda split: [example], ["train"])
    register_task("read.features", source, TaskCard("other"))
    for read in read_in_every_way("read.features"):
        with pytest.raises(CorpusError) as caught:
            read()
        assert words in str(caught.value) and "'read.features'" in str(caught.value)
