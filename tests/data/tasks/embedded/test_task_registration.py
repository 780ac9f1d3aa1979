"""Registration of embedded kinds."""

from __future__ import annotations

import pytest
import seqio
from t5.evaluation import metrics as t5_metrics

from mtmoe.data.tasks.card import task_card
from mtmoe.data.tasks.embedded.answers import label_set
from mtmoe.data.tasks.embedded.registration import (
    EmbeddedKind,
    languages_except,
    languages_of,
    register_kinds,
)
from mtmoe.errors import UnknownNameError
from mtmoe.languages import MC4_LANGUAGES


def test_a_task_for_each_language_that_reads_nothing(clean_registry):
    def rows(language):
        raise AssertionError("read at registration")

    kind = EmbeddedKind(
        name="made_up",
        languages=("sw", ""),
        rows=rows,
        family="names",
        metrics=(t5_metrics.accuracy,),
        scores=("accuracy",),
        labels="gold",
        origin="nowhere",
        licence="none",
    )
    names = register_kinds([kind])
    assert names == ("embedded.made_up.sw", "embedded.made_up")
    task = seqio.TaskRegistry.get(names[0])
    assert tuple(task.splits) == ("train", "validation", "test")
    card = task_card(task)
    assert (card.family, card.language, card.labels) == ("names", "sw", "gold")
    assert (card.metrics, card.verified) == (("accuracy",), "run")


def test_lists_of_languages():
    assert languages_of("sw\n yo") == ("sw", "yo")
    left = languages_except("sw yo")
    assert len(left) == len(MC4_LANGUAGES) - 2 and "sw" not in left
    with pytest.raises(UnknownNameError, match="'he'"):
        languages_of("he")


def test_label_sets():
    assert label_set("sw, en") == label_set("en,sw,") == {"sw", "en"}
    assert label_set("") == frozenset()
