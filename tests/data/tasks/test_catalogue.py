"""Finding registered tasks."""

from __future__ import annotations

import sys

import pytest
import seqio

from mtmoe.data.mixing.mixtures import register_weighted_mixture
from mtmoe.data.sources.pairs import PairSource
from mtmoe.data.sources.text import TextSource
from mtmoe.data.tasks.card import TaskCard, task_card
from mtmoe.data.tasks.catalogue import (
    TaskFilter,
    aliases_of,
    canonical_language,
    group_tasks,
    mixtures_with,
    registered_at,
    select_tasks,
)
from mtmoe.data.tasks.registration import register_alias, register_task
from mtmoe.data.tasks.registry import get_task, register
from mtmoe.data.vocabulary.configured import configured_vocabulary
from mtmoe.errors import ConfigError, UnknownNameError

pytestmark = pytest.mark.usefixtures("clean_registry")
THIS = "found"


def add(name, family="translation", language="", metrics=("bleu",), labels="gold"):
    source = PairSource(lambda split: [], ["train"])
    card = TaskCard(family, language, metrics, labels=labels)
    return register_task(f"{THIS}.{name}", source, card, metrics=[_no_metric])


def _no_metric(targets, predictions):
    return {}


@pytest.fixture
def tasks():
    for code in ("sw", "iw", "zh"):
        add(f"to_en.{code}", language=code)
    add("en_us.sw.hard", language="sw", labels="rule")
    add("sum", "summarization", "en", ("rouge1", "rouge2"))
    register_alias(f"{THIS}.other_name", f"{THIS}.sum")
    register_weighted_mixture(f"{THIS}.both", {f"{THIS}.sum": 1, f"{THIS}.to_en.sw": 2})


def names(**wanted):
    found = select_tasks(TaskFilter(prefix=f"{THIS}.", **wanted))
    return [task.name.removeprefix(f"{THIS}.") for task in found]


def test_filters(tasks):
    assert names() == ["en_us.sw.hard", "sum", "to_en.iw", "to_en.sw", "to_en.zh"]
    assert names(language="he") == ["to_en.iw"]
    assert names(language="zho_Hans") == ["to_en.zh"]
    assert names(family="summarization") == ["sum"]
    assert names(metric="rouge2") == ["sum"]
    assert names(labels="rule", language="sw") == ["en_us.sw.hard"]
    assert len(select_tasks()) >= 5


@pytest.mark.parametrize(
    ("wanted", "nearest"),
    [
        ({"family": "sumarization"}, "summarization"),
        ({"metric": "rouge3"}, "rouge"),
        ({"labels": "golden"}, "gold"),
        ({"language": "xx-nowhere"}, "unknown language"),
    ],
)
def test_unknown_words(tasks, wanted, nearest):
    with pytest.raises(UnknownNameError, match=nearest):
        names(**wanted)


def test_languages_are_put_together(tasks):
    groups = group_tasks(select_tasks(TaskFilter(prefix=f"{THIS}.")))
    assert [(g.name, len(g.tasks)) for g in groups] == [
        (f"{THIS}.en_us.sw.hard", 1),
        (f"{THIS}.sum", 1),
        (f"{THIS}.to_en.<language>", 3),
    ]


def test_other_names_and_mixtures(tasks):
    assert aliases_of(f"{THIS}.sum") == (f"{THIS}.other_name",)
    assert mixtures_with(f"{THIS}.sum") == (f"{THIS}.both",)
    assert get_task(f"{THIS}.other_name").name == f"{THIS}.sum"


def test_canonical_language():
    assert [canonical_language(c) for c in ("he", "qu", "")] == ["iw", "qu", ""]


def test_where_a_plain_seqio_task_was_registered(tmp_path, monkeypatch):
    module = tmp_path / "plain_seqio_tasks.py"
    module.write_text("import test_catalogue\ntest_catalogue.plain('found.plain')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "test_catalogue", sys.modules[__name__])
    register(["plain_seqio_tasks"])
    task = get_task("found.plain")
    assert registered_at(task) == f"{module}:2"
    card = task_card(task)
    assert (card.family, card.language, card.origin) == ("other", "sw", "TextSource")


def plain(name):
    feature = seqio.Feature(configured_vocabulary())
    source = TextSource(lambda split: ["text"], language="sw")
    features = {"inputs": feature, "targets": feature}
    seqio.TaskRegistry.add(name, source, features, preprocessors=[], metric_fns=[])


@pytest.mark.parametrize(
    "wrong", [{"family": "x"}, {"labels": "silver"}, {"verified": "surely"}]
)
def test_a_card_of_unknown_words(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong.values()))):
        TaskCard(**{"family": "other"} | wrong)
