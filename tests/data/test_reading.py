"""A data set that cannot be opened is named; a mistake of the task's is not hidden."""

from __future__ import annotations

import pytest
import seqio

from mtmoe.data.batches import TrainingBatches
from mtmoe.data.preview import preview_examples
from mtmoe.data.registration import register_task
from mtmoe.data.registry import get_task
from mtmoe.data.sources.pairs import PairSource
from mtmoe.data.task_card import TaskCard
from mtmoe.data.verify import verify_task
from mtmoe.errors import CorpusError

pytestmark = pytest.mark.usefixtures("own_cache", "clean_registry", "bytes_configured")
LENGTHS = {"inputs": 16, "targets": 8}


def unreachable(split, shuffle_files, seed=None):
    raise ConnectionError("no route to host\nand much more")


def wrong_step(dataset):
    raise KeyError("label")


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
        assert "ConnectionError: no route to host;" in message
        assert "$TFDS_DATA_DIR" in message


def test_a_mistake_in_a_step_is_raised_as_it_is():
    source = PairSource(lambda split: [{"inputs": "a", "targets": "b"}], ["train"])
    register_task("read.wrong", source, TaskCard("other"), preprocessors=[wrong_step])
    for read in read_in_every_way("read.wrong"):
        with pytest.raises(KeyError, match="label"):
            read()
