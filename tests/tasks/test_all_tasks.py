"""Everything that is registered: how much, without reading a file, and its page."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import seqio

from mtmoe.data.mixing.rates import flatten
from mtmoe.data.mixing.stages import StagedMixture
from mtmoe.data.tasks.card import FAMILIES, task_card
from mtmoe.data.tasks.catalogue import registered_at, select_tasks
from mtmoe.data.tasks.registry import BUILT_IN_TASK_MODULES, register
from mtmoe.tasks.embedded.multitask import KINDS

ROOT = Path(__file__).parents[2]

# One process says all of it: starting one takes longer than registering everything.
_REGISTER = """
import io, json, os, runpy, sys, time
os.environ.pop("MTMOE_WEB_TEXT", None)
import seqio
import mtmoe.tasks.embedded
found = {}
began = time.monotonic()
from mtmoe.data.sources.embedded import corpus
def refuse(*args, **kwargs):
    raise AssertionError("the corpus was read at import")
corpus.load_corpus = refuse
import mtmoe.tasks.embedded.span_corruption
found["span_corruption_seconds"] = time.monotonic() - began
found["span_corruption_needs_t5"] = "t5" in sys.modules

import tensorflow as tf
import mtmoe.data.tasks.registration
opened = []
def refused(name):
    def call(*arguments, **more):
        opened.append(name)
        raise RuntimeError(name)
    return call
for name in ("GFile", "exists", "glob", "isdir", "listdir", "walk"):
    setattr(tf.io.gfile, name, refused(name))
import mtmoe.tasks.pretraining.mc4, mtmoe.tasks.pretraining.c4
needless = {"gcld3", "tensorflow_datasets.text.c4"}
found["web_text_imports"] = sorted(needless & set(sys.modules))

import t5.data, t5.evaluation.metrics, sacrebleu
import mtmoe.data.tasks.embedded.registration
import mtmoe.data.tasks.registry, mtmoe.languages
mtmoe.languages.spaces_words("swl")  # its tables of CLDR's
CODE = (".py", ".pyc", ".so")
def watch(event, arguments):
    if event == "open" and not str(arguments[0]).endswith(CODE):
        opened.append(str(arguments[0]))
    if event.startswith("socket."):
        opened.append(event)
sys.addaudithook(watch)
began = time.process_time()
import mtmoe.tasks.exmix.mixtures
found["exmix_seconds"] = time.process_time() - began
mtmoe.data.tasks.registry.register(mtmoe.data.tasks.registry.BUILT_IN_TASK_MODULES)
names = {seqio.TaskRegistry.get(n).name for n in seqio.TaskRegistry.names()}
found["count"] = len(names)
found["opened"] = [name for name in opened if not name.isdigit()]
print("FOUND", json.dumps(found))
print("PAGE")
runpy.run_module("mtmoe.data.tasks.table", run_name="__main__")
"""


@pytest.fixture(scope="module")
def new_process():
    """What a process that registers everything found, and the page that it printed."""
    output = subprocess.run(
        [sys.executable, "-c", _REGISTER],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found, page = output.split("FOUND ")[1].split("\nPAGE\n")
    return json.loads(found), page


@pytest.fixture(scope="module")
def tasks():
    register(BUILT_IN_TASK_MODULES)
    ours = [task for task in select_tasks() if task_card(task).verified]
    return {task.name: task for task in ours}


def test_registering_all_reads_no_file_and_opens_no_socket(new_process):
    found, _ = new_process
    assert found["count"] >= 5000
    assert found["opened"] == []


@pytest.mark.slow
def test_registering_is_quick_and_imports_what_it_needs(new_process):
    found, _ = new_process
    assert found["span_corruption_seconds"] < 1.0
    assert not found["span_corruption_needs_t5"]
    assert found["web_text_imports"] == []
    assert found["exmix_seconds"] < 5


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


def test_the_page_of_tasks_is_what_is_registered(new_process):
    _, page = new_process
    assert (ROOT / "docs" / "tasks.md").read_text("utf-8") == page, (
        "docs/tasks.md is out of date: python -m mtmoe.data.tasks.table > docs/tasks.md"
    )
    assert page.startswith("# The registered tasks")


def test_every_mixture_has_tasks_of_the_registry(tasks):
    for name in seqio.MixtureRegistry.names():
        mixture = seqio.MixtureRegistry.get(name)
        if not isinstance(mixture, StagedMixture):
            assert mixture.tasks, name
