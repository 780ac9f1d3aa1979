"""`mtmoe mixture plan`: the table, the files and the warnings."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from mtmoe.cli.main import main

BYTES = "--gin_param=configured_vocabulary.factory=@byte_vocabulary"
PLAN = ["mixture", "plan"]

MODULE = """
from mtmoe.data.mixing.mixtures import register_weighted_mixture
from mtmoe.data.mixing.stages import register_staged_mixture
from mtmoe.data.objectives.span_corruption import SpanCorruption
from mtmoe.data.tasks.registration import register_task, register_text_task
from mtmoe.data.sources.records import RecordSource
from mtmoe.data.sources.text import TextSource
from mtmoe.data.tasks.card import TaskCard

names = [
    register_text_task(
        f"planned.{code}",
        TextSource(lambda split, n=n: ["word " * 200 * n], language=code),
        SpanCorruption(),
        TaskCard("pretraining", code),
    )
    for n, code in enumerate(("de", "sw", "ru"), start=1)
]
absent = register_task(
    "planned.absent",
    RecordSource({"train": "no_such_file.csv"}, lambda record: None),
    TaskCard("classification"),
)
register_weighted_mixture("planned.texts", {name: 1 for name in names})
register_weighted_mixture("planned.<b>", {"planned.texts": 1, absent: 1})
register_staged_mixture("planned.staged", [(0, "planned.texts"), (9, "planned.de")])
"""


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    """A folder with a module of three texts and a task whose file is not there."""
    folder = tmp_path_factory.mktemp("planned")
    (folder / "planned_tasks.py").write_text(MODULE)
    return folder


@pytest.fixture
def flags(module, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(module))
    monkeypatch.setenv("MTMOE_CACHE", str(tmp_path / "cache"))
    return ["--task_module=planned_tasks", BYTES, "--inputs=64", "--targets=20"]


def test_prints_tables_warnings_and_what_is_unknown(flags, capsys):
    assert main([*PLAN, "planned.<b>", *flags, "--tokens=1e5", "--rows=2"]) == 0
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert lines[0].startswith("planned.<b>: 4 tasks, 100,000 tokens in ")
    assert "  planned.<b>: weights planned.texts 1, planned.absent 1" in lines
    by_language = lines[lines.index("") + 1 :]
    assert by_language[0].split()[:3] == ["language", "of", "examples"]
    widths = {len(line) for line in by_language[: by_language.index("")] if line}
    assert by_language[5 - 2].startswith("... 2 more") and len(widths) <= 2
    assert by_language[4].split()[:5] == ["total", "100.00", "%", "100.00", "%"]
    assert "how much there is of 1 task is not known: planned.absent" in lines
    assert "~63" in printed.out and "?" in printed.out
    assert "warning: language de (task planned.de): " in printed.err
    assert printed.err.count("warning:") == 3


def test_writes_csv_and_a_page_that_stands_alone(flags, capsys):
    outputs = ["--output_file=out/plan.csv", "--output_file=out/plan.html"]
    assert main([*PLAN, "planned.<b>", *flags, *outputs, "--tokens=1e5"]) == 0
    assert "out/plan.csv\nout/plan.html\n" in capsys.readouterr().out
    with Path("out/plan.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    tasks = {row["name"]: row for row in rows if row["level"] == "task"}
    assert set(tasks) == {f"planned.{n}" for n in ("de", "sw", "ru", "absent")}
    assert sum(float(row["share_of_tokens"]) for row in tasks.values()) == (
        pytest.approx(1.0)
    )
    assert (
        tasks["planned.absent"]["epochs"] == tasks["planned.absent"]["repeated"] == ""
    )
    assert tasks["planned.absent"]["tokens_per_example_basis"] == "family"
    assert tasks["planned.de"]["repeated"] == "yes"
    assert tasks["planned.de"]["paths"] == "planned.<b>/planned.texts"
    assert [row["level"] for row in rows[4:]] == ["language"] * 4 + ["total"]
    page = Path("out/plan.html").read_text()
    assert "planned.&lt;b&gt;" in page and "planned.<b>" not in page
    assert page.count("<svg") == 2 and "Swahili" in page
    assert "http" not in page.replace("http-equiv", "")


def test_a_run_gives_mixture_lengths_and_budget(flags, capsys):
    run = [
        "--gin_file=runs/quickstart.gin",
        "--gin_param=train.mixture='planned.staged'",
        "--gin_param=train.steps=12",
    ]
    assert main([*PLAN, *run, *flags[:2]]) == 0
    out = capsys.readouterr().out
    assert "in 384 examples of at most 128 inputs and 36 targets" in out
    assert "from step 0: planned.texts, 9 steps, " in out
    assert "from step 9: planned.de, 3 steps, " in out
    assert main([*PLAN, *run, *flags[:2], "--tokens=100"]) == 0
    assert "planned.de, not reached with this budget" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mixture"], "usage: mtmoe mixture plan"),
        (["mixture", "plna"], "did you mean plan"),
        ([*PLAN, "a", "b"], "usage: mtmoe mixture plan"),
        ([*PLAN, "a", "--output_file=a.png"], "a.png: allowed are .csv and .html"),
        (PLAN, "NAME may be left out"),
        ([*PLAN, "embeded.span_corruption"], "did you mean embedded.span_corruption"),
    ],
)
def test_mistakes_are_one_line(arguments, message, capsys):
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
