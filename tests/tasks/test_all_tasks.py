"""Everything that is registered: how much, without reading a file, and its page."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import seqio

from mtmoe.data.catalogue import registered_at, select_tasks
from mtmoe.data.mixing.rates import flatten
from mtmoe.data.mixing.stages import StagedMixture
from mtmoe.data.registry import BUILT_IN_TASK_MODULES, register
from mtmoe.data.task_card import FAMILIES, task_card
from mtmoe.data.task_table import tasks_page
from mtmoe.tasks.embedded.multitask import KINDS

ROOT = Path(__file__).parents[2]

_REGISTER_WITHOUT_READING = """
import builtins, io, socket, sys
import tensorflow as tf, seqio, t5.data, t5.evaluation.metrics, sacrebleu
import mtmoe.data.registration, mtmoe.data.embedded_tasks.registration
import mtmoe.data.embedded.corpus, mtmoe.data.registry, mtmoe.languages
mtmoe.languages.spaces_words("swl")  # its tables of CLDR's
CODE = (".py", ".pyc", ".so")
opened = []
def watch(event, arguments):
    if event == "open" and not str(arguments[0]).endswith(CODE):
        opened.append(str(arguments[0]))
    if event.startswith("socket."):
        opened.append(event)
sys.addaudithook(watch)
class NoFile:
    def __init__(self, name, *arguments, **more):
        opened.append(name)
tf.io.gfile.GFile = NoFile
mtmoe.data.registry.register(mtmoe.data.registry.BUILT_IN_TASK_MODULES)
names = {seqio.TaskRegistry.get(n).name for n in seqio.TaskRegistry.names()}
print(len(names), [name for name in opened if not name.isdigit()])
"""


@pytest.fixture(scope="module")
def tasks():
    register(BUILT_IN_TASK_MODULES)
    ours = [task for task in select_tasks() if task_card(task).verified]
    return {task.name: task for task in ours}


def test_registering_all_reads_no_file_and_opens_no_socket():
    result = subprocess.run(
        [sys.executable, "-c", _REGISTER_WITHOUT_READING],
        capture_output=True,
        text=True,
        check=True,
    )
    count, opened = result.stdout.strip().split(" ", 1)
    assert int(count) >= 5000
    assert opened == "[]"


def test_the_modules_are_all_there_are(tasks):
    imported = {name for name in sys.modules if name.startswith("mtmoe.tasks.")}
    files = (ROOT / "tasks").rglob("*.py")
    there_are = {
        "mtmoe.tasks."
        + ".".join(path.relative_to(ROOT / "tasks").with_suffix("").parts)
        for path in files
        if path.name != "__init__.py"
    }
    assert there_are <= imported


def test_counts(tasks):
    begin = Counter(name.split(".")[0] for name in tasks)
    assert begin["exmix"] == 107
    assert begin["extra"] == 42
    assert begin["mc4"] == 3 * 107
    kinds = {
        (task_card(task).family, name.split(".")[1])
        for name, task in tasks.items()
        if name.startswith("embedded.") and task_card(task).labels != "self"
    }
    assert len({kind for _, kind in kinds}) >= 50
    assert len({family for family, _ in kinds}) >= 7


def test_every_card_is_filled_in(tasks):
    for name, task in tasks.items():
        card = task_card(task)
        assert card.family in FAMILIES, name
        assert card.labels, name
        assert card.origin, name
        assert card.licence, name
        assert bool(card.metrics) == bool(task.metric_fns), name
        assert registered_at(task).rpartition(":")[0].endswith(".py"), name
        assert task.splits, name


def test_gold_and_rule_are_told_apart_in_every_embedded_task(tasks):
    labels = {
        task_card(task).labels
        for name, task in tasks.items()
        if name.startswith("embedded.")
    }
    assert labels == {"gold", "rule", "self"}


def test_the_multitask_mixture_is_half_text(tasks):
    members = flatten("embedded.multitask")
    share = Counter()
    for member in members:
        kind = member.path[-1] if len(member.path) > 2 else member.task
        in_text = "embedded.span_corruption" in member.path
        share["text" if in_text else kind] += member.share
    assert share.pop("text") == pytest.approx(0.5)
    assert set(share) == {f"embedded.{kind.name}" for kind in KINDS}
    assert list(share.values()) == pytest.approx([0.5 / len(KINDS)] * len(KINDS))


def test_the_page_of_tasks_is_what_is_registered(tasks):
    result = subprocess.run(
        [sys.executable, "-m", "mtmoe.data.task_table"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert (ROOT / "docs" / "tasks.md").read_text("utf-8") == result.stdout, (
        "docs/tasks.md is out of date: python -m mtmoe.data.task_table > docs/tasks.md"
    )
    assert tasks_page().startswith("# The registered tasks")


def test_every_mixture_has_tasks_of_the_registry(tasks):
    for name in seqio.MixtureRegistry.names():
        mixture = seqio.MixtureRegistry.get(name)
        if not isinstance(mixture, StagedMixture):
            assert mixture.tasks, name
