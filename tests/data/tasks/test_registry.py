"""Task modules by name, and look-up with the nearest names."""

from __future__ import annotations

import functools
import sys

import pytest
import seqio
from fake_tasks import add_supervised_task, add_text_task

from mtmoe.data.mixing.mixtures import register_mixture
from mtmoe.data.mixing.policies import Temperature
from mtmoe.data.mixing.rates import task_rates
from mtmoe.data.tasks.registry import (
    get_mixture_or_task,
    get_task,
    register,
    tasks_of,
)
from mtmoe.errors import ConfigError, UnknownNameError

pytestmark = pytest.mark.usefixtures("own_cache", "clean_registry")

_USER_MODULE = """
import seqio
from mtmoe.data.sources.text import TextSource
from mtmoe.data.vocabulary.configured import configured_vocabulary
feature = seqio.Feature(configured_vocabulary())
seqio.TaskRegistry.add("users_own", source=TextSource(lambda split: ["text"]),
    preprocessors=[], output_features={"inputs": feature, "targets": feature})
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    return tmp_path


def test_a_module_of_the_current_folder_registers(here):
    (here / "users_tasks.py").write_text(_USER_MODULE)
    register(["users_tasks"])
    assert get_task("users_own").name == "users_own"
    register(["users_tasks"])


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            "TaskCard('closed_qa')",
            "did you mean 'closed_book_qa'.*allowed: 'pretraining'",
        ),
        ("TaskCard('nli', labels='golden')", "labels='golden'.*'gold'"),
        ("TaskCard('nli', metrics='accuracy')", r"a tuple of names .*\('accuracy',\)"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("def f(:", "SyntaxError: "),
    ],
)
def test_what_a_module_raises_is_one_line_with_its_place(here, line, words):
    text = f"from mtmoe.data.tasks.card import TaskCard\n\n{line}\n"
    (here / "wrong_tasks.py").write_text(text)
    with pytest.raises(ConfigError, match=words) as caught:
        register(["wrong_tasks"])
    line, *by_gin = str(caught.value).splitlines()
    assert line.endswith(f"({here}/wrong_tasks.py:3)") and len(by_gin) == 1


def test_a_missing_module_and_a_broken_one_are_told_apart(here):
    with pytest.raises(ConfigError, match="'no_such_tasks'.*does not exist"):
        register(["no_such_tasks"])
    with pytest.raises(ConfigError, match="no module 'mtmoe.tasks.nowhere'"):
        register(["mtmoe.tasks.nowhere.at_all"])
    (here / "broken_tasks.py").write_text("import a_package_nobody_has")
    with pytest.raises(ConfigError, match=r"nobody_has' \(.*broken_tasks.py:1\)\n"):
        register(["broken_tasks"])
    with pytest.raises(ConfigError, match="a list is needed"):
        register("broken_tasks")


def test_look_up_by_name(byte_vocabulary):
    text = add_text_task("embedded_de", ["a"], byte_vocabulary, language="de")
    add_supervised_task("pairs", [("a", "b")], byte_vocabulary)
    mixture = seqio.MixtureRegistry.add("all", [("embedded_de", 1), ("pairs", 2)])
    assert get_mixture_or_task("all") is mixture
    assert get_mixture_or_task("pairs") is get_task("pairs")
    assert [task.name for task in tasks_of("all")] == ["embedded_de", "pairs"]
    assert tasks_of("embedded_de") == (text,)
    with pytest.raises(UnknownNameError, match="embedded_de"):
        get_mixture_or_task("embeded_de")
    with pytest.raises(UnknownNameError, match="unknown task 'pears'"):
        get_task("pears")


def test_rates_are_powers_of_characters_and_sub_mixtures_resolve(byte_vocabulary):
    add_text_task("one", ["x" * 1000], byte_vocabulary)
    add_text_task("two", ["x" * 500, "y" * 500] * 16, byte_vocabulary)
    by_characters = functools.partial(Temperature, unit="characters")
    register_mixture("inner", ["one", "two"], by_characters)
    rates = task_rates(get_mixture_or_task("inner"))
    assert rates["two"] / rates["one"] == pytest.approx(16**0.3)
    add_supervised_task("pairs", [("a", "b")], byte_vocabulary)
    outer = seqio.MixtureRegistry.add("outer", [("inner", 3.0), ("pairs", 1.0)])
    rates = task_rates(outer)
    assert rates["one"] + rates["two"] == pytest.approx(3.0)
    assert rates["pairs"] == 1.0
    assert task_rates(get_task("one")) == {"one": 1.0}


def test_a_rate_that_cannot_be_computed_is_an_error(byte_vocabulary):
    add_supervised_task("pairs", [("a", "b")], byte_vocabulary)
    by_characters = functools.partial(Temperature, unit="characters")
    register_mixture("unknown", ["pairs"], by_characters)
    with pytest.raises(ConfigError, match="'pairs' has no count of .*characters"):
        task_rates(get_mixture_or_task("unknown"))


def test_a_text_source_works_in_plain_seqio(byte_vocabulary):
    documents = [str(number) for number in range(50)]
    source = add_text_task("text", documents, byte_vocabulary).source
    assert source.num_input_examples("train") == 50
    read = [
        [row["text"].decode() for row in dataset.as_numpy_iterator()]
        for dataset in (
            source.get_dataset("train", shuffle=False),
            source.get_dataset("train", shuffle=True, seed=1),
        )
    ]
    assert read[0] == documents != read[1] and sorted(read[1]) == sorted(documents)
