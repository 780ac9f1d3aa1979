"""What a registration is refused for, before any file is read."""

from __future__ import annotations

import pytest

from mtmoe.data.sources.pairs import PairSource
from mtmoe.data.tasks.card import FAMILIES, TaskCard
from mtmoe.data.tasks.registration import register_task
from mtmoe.errors import ConfigError

pytestmark = pytest.mark.usefixtures("clean_registry", "bytes_configured")
SOURCE = PairSource(lambda split: [{"inputs": "a", "targets": "b"}], ["train"])


def hits(targets, predictions):
    return {"hits": 1.0}


@pytest.mark.parametrize(
    ("card", "arguments", "words"),
    [
        (
            TaskCard("nli", metrics=("hits",)),
            {},
            "names the metrics hits, but it has no",
        ),
        (TaskCard("nli"), {"metrics": hits}, r"metrics is hits .*\[hits\]"),
        (TaskCard("nli"), {"metrics": ["hits"]}, "metrics has 'hits', which is no"),
        (TaskCard("nli"), {"preprocessors": "lower"}, "a list of functions is wanted"),
        (TaskCard("nli"), {"postprocess": "lower"}, "postprocess is 'lower', no"),
    ],
)
def test_functions_that_are_none_and_a_card_that_promises_more(card, arguments, words):
    with pytest.raises(ConfigError, match=words):
        register_task("registered", SOURCE, card, **arguments)


def test_a_family_is_refused_with_all_there_are():
    with pytest.raises(ConfigError, match="did you mean 'translation'") as caught:
        TaskCard("translations")
    assert all(repr(family) in str(caught.value) for family in FAMILIES)
