"""Values that are no text, blank texts, deep JSON, and users' functions that fail."""

from __future__ import annotations

import sys

import gin
import numpy as np
import pytest

from mtmoe.cli.main import main
from mtmoe.data.batches.training import TrainingBatches
from mtmoe.data.evaluation.examples import evaluation_examples
from mtmoe.data.tasks.reading import examples_in_order
from mtmoe.data.tasks.registry import get_task
from mtmoe.data.tasks.verify import verify_task
from mtmoe.errors import CorpusError, UserCodeError
from mtmoe.evaluate.bootstrap import Bootstrap
from mtmoe.evaluate.own_metrics import task_metrics

BYTES = "--gin_param=configured_vocabulary.factory=@byte_vocabulary"
LENGTHS = {"inputs": 64, "targets": 32}
MODULE = """
import seqio
from mtmoe.data.metrics.qa import exact_match
from mtmoe.data.tasks.registration import register_task
from mtmoe.data.sources.pairs import PairSource
from mtmoe.data.sources.records import RecordSource
from mtmoe.data.tasks.card import TaskCard

def pair(record):
    return {"inputs": record["q"], "targets": record["a"]}

def add(name, source, metrics=(exact_match,), **functions):
    card = TaskCard("closed_book_qa", "sw", metrics=("exact_match",), labels="gold")
    register_task("mine." + name, source, card, metrics=list(metrics), **functions)

def file(name):
    return RecordSource({"train": name, "validation": name}, pair)

for name in ("null", "number", "numbers", "list", "deep", "surrogate", "good"):
    add(name, file(name + ".jsonl"))
add("blank", file("blank.tsv"))

def one(targets, predictions):
    return 1

def divides(targets, predictions):
    return {"exact_match": len(targets) / 0}

def strips(text, example, is_target):
    return None.strip()

def lower(dataset):
    return dataset.map(lambda x: {"inputs": x["question"], "targets": x["targets"]})

add("metric_int", file("good.jsonl"), [one])
add("metric_raises", file("good.jsonl"), [divides])
add("postprocessor_raises", file("good.jsonl"), postprocess=strips)
add("step_raises", file("good.jsonl"), preprocessors=[lower])
"""
GOOD = '{"q": "moja", "a": "ndiyo"}\n'
DEEP = '{"x": ' + "[" * 100_000 + "]" * 100_000 + "}\n"
FILES = {
    "good.jsonl": GOOD * 3,
    "null.jsonl": GOOD + '{"q": "mbili", "a": null}\n',
    "number.jsonl": GOOD + '{"q": "mbili", "a": 2}\n',
    "numbers.jsonl": '{"q": "moja", "a": 1}\n{"q": "mbili", "a": 2}\n',
    "list.jsonl": GOOD + '{"q": "mbili", "a": ["ndiyo", "hapana"]}\n',
    "surrogate.jsonl": GOOD + '{"q": "mbili", "a": "\\ud83d"}\n',
    "deep.jsonl": GOOD + DEEP,
    "blank.tsv": "q\ta\n"
    + "".join(
        f"{f'swali {i}' if i < 60 else ''}\t{'ndiyo' if i < 100 else ''}\n"
        for i in range(200)
    ),
}


@pytest.fixture
def folder(tmp_path, monkeypatch, clean_registry):
    """A user's folder with the files and the module `mine`, as the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MTMOE_DATA", raising=False)
    monkeypatch.setenv("MTMOE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    (tmp_path / "mine.py").write_text(MODULE, "utf-8")
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, "utf-8")
    yield tmp_path
    sys.modules.pop("mine", None)


def verify(*names: str, split: str = "train") -> int:
    arguments = ["tasks", "verify", *names, "--task_module=mine", f"--split={split}"]
    return main([*arguments, BYTES])


@pytest.mark.parametrize(
    ("name", "line", "words", "what"),
    [
        ("null", 2, '"targets" is null', "a null among JSON texts "
         "(huggingface/setfit#566, huggingface/datasets#7222, #7963)"),
        ("number", 2, '"targets" is the number 2', "a number among JSON texts "
         "(huggingface/datasets#5827)"),
        ("numbers", 1, '"targets" is the number 1', "numbers alone where texts are "
         "wanted (huggingface/datasets#3340)"),
        ("list", 2, '"targets" is a list, in the examples before a text',
         "a list in one row, a text in another (huggingface/datasets#3965)"),
        ("surrogate", 2, '"targets" has half a surrogate pair', "half a surrogate pair "
         "in a JSON string"),
        ("deep", 2, "not JSON: nested too deeply", "a record of 100,000 nested lists "
         "in a file of one's own (simplejson/simplejson#28, unslothai/unsloth#7465)"),
    ],
)  # fmt: skip
def test_the_same_words_in_every_command(
    folder, capsys, tried, name, line, words, what
):
    place = f"{name}.jsonl:{line}: {words}"
    assert verify(f"mine.{name}") == 1
    assert f"FAIL mine.{name} train: {place}" in capsys.readouterr().out
    config = ["--task_module=mine", BYTES]
    assert main(["cache", f"--mixture=mine.{name}", "--output_dir=tok", *config]) == 1
    assert f"mine.{name} train: {place}" in capsys.readouterr().out
    assert main(["tasks", "preview", f"mine.{name}", *config]) == 2
    assert place in capsys.readouterr().err
    with pytest.raises(CorpusError) as training:
        TrainingBatches(f"mine.{name}", 8, LENGTHS, seed=0)
    with pytest.raises(CorpusError) as evaluating:
        evaluation_examples(f"mine.{name}", "validation", LENGTHS)
    assert place in str(training.value) and place in str(evaluating.value)
    tried(
        "values", what, f"refused alike by verify, preview, cache, train and evaluate: "
        f"`FILE:{line}: {words}`",
    )  # fmt: skip


def test_a_deep_record_among_web_pages_is_counted(folder, monkeypatch, capsys, tried):
    page = '{"text": "habari ya dunia na watu wake wote"}\n'
    (folder / "web").mkdir()
    (folder / "web" / "sw.jsonl").write_text(page + DEEP + page, "utf-8")
    monkeypatch.setenv("MTMOE_WEB_TEXT", str(folder / "web"))
    arguments = ["cache", "--mixture=mc4.sw", "--split=train", "--output_dir=tok"]
    assert main([*arguments, BYTES]) == 0
    said = capsys.readouterr()
    assert "not read, not JSON: 1" in said.err and "sw.jsonl:2: " in said.err
    assert " 2 " in said.out.splitlines()[1]
    tried(
        "values", "a record of 100,000 nested lists among web pages "
        "(simplejson/simplejson#28)", 'counted as "not JSON"; the other pages are read',
    )  # fmt: skip


def test_blank_sentences_deep_in_a_file(folder, capsys, tried):
    assert verify("mine.blank") == 1
    said = capsys.readouterr().out
    assert "FAIL mine.blank train: 200 examples" in said
    assert "inputs are empty in 140 of 200 examples, first in blank.tsv:62" in said
    assert "targets are empty in 100 of 200 examples, first in blank.tsv:102" in said
    TrainingBatches("mine.blank", 8, LENGTHS, seed=0)
    assert "of 200 examples are empty: inputs in 1" in capsys.readouterr().err
    tried(
        "values", "blank sentences from row 60 of 200 on "
        "(google-research-datasets/paws#4, #15)",
        "verify reads all rows, counts both, names the first line; train says it too",
    )  # fmt: skip


def test_verify_goes_on_after_a_task_that_fails(folder, capsys, tried):
    names = [f"mine.{name}" for name in ("step_raises", "null", "good")]
    assert verify(*names) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line[:4] for line in lines] == ["FAIL", "FAIL", "ok  "]
    tried(
        "values", "a task whose step raises, one with a null, and a sound one",
        "verify tells of all three, exit status 1",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("metric_int", "the metric one (PLACE) gave 1 of type int; a dict of names"),
        ("metric_raises", "the metric divides (PLACE) raised ZeroDivisionError"),
        (
            "postprocessor_raises",
            "the postprocessor strips (PLACE) raised AttributeError",
        ),
        ("step_raises", "its step lower (PLACE) fails: KeyError: 'question'"),
    ],
)
def test_what_a_users_function_raises_is_one_line(folder, tried, name, words):
    assert verify(f"mine.{name}") == 1
    with pytest.raises(UserCodeError) as caught:
        verify_task(get_task(f"mine.{name}"), "train")
    message = str(caught.value)
    head, tail = words.split("PLACE")
    assert "\n" not in message and f"task 'mine.{name}'" in message
    if name != "step_raises":  # evaluation says the same
        task = get_task(f"mine.{name}")
        records = list(examples_in_order(task, "train", None, trim=False))
        tokens = np.array([record["targets"] for record in records])
        resamples = Bootstrap(num_resamples=10).resamples(task.name, np.arange(3))
        with pytest.raises(UserCodeError) as evaluating:
            task_metrics(task, records, tokens, None, resamples)
        assert str(evaluating.value) == message
    assert f"{head}{folder}/mine.py:" in message and tail in message
    tried(
        "values", f"a function of the user's that fails ({name.replace('_', ' ')})",
        f"one line: `{words.replace('PLACE', 'FILE:LINE')}`",
    )  # fmt: skip


def test_a_quota_of_bad_examples_is_counted(folder, capsys, tried):
    quota = "--gin_param=bad_examples.quota=1"
    arguments = ["cache", "--mixture=mine.null", "--split=train", "--output_dir=tok"]
    assert main([*arguments, "--task_module=mine", BYTES, quota]) == 0
    batches = TrainingBatches("mine.null", 8, LENGTHS, seed=0)
    assert batches.bad_records.counts == {"mine.null": 1}
    assert "1 bad examples" in capsys.readouterr().err
    gin.parse_config("bad_examples.quota = 0")
    with pytest.raises(CorpusError, match="1 bad examples were left out when it was"):
        TrainingBatches("mine.null", 8, LENGTHS, seed=0)
    tried(
        "values", "a null where `bad_examples.quota` is 1",
        "left out, told, counted under `damaged_records`; refused again at quota 0",
    )  # fmt: skip
