"""The plan of a mixture as a page and as CSV, from numbers made up by hand."""

from __future__ import annotations

import csv
import dataclasses
import io
import re
import xml.etree.ElementTree as ET

import pytest

from mtmoe.data.mixing.plan_rows import MixturePlan, PlanRow, PlanStage
from mtmoe.report.mixture_page import mixture_page
from mtmoe.report.mixture_table import COLUMNS, mixture_csv

BASES = {
    "tokens_per_example": "family",
    "epochs": "card",
    "bytes_per_token": "unknown",
}


def row(name: str, epochs: float | None, language: str = "", tasks: int = 1) -> PlanRow:
    return PlanRow(
        name=name,
        language=language,
        family="nli",
        paths=("mix",),
        num_tasks=tasks,
        share_of_examples=0.25,
        share_of_tokens=0.5,
        examples=100.0,
        tokens=5000.0,
        tokens_per_example=50.0,
        epoch_examples=None if epochs is None else 10.0,
        epochs=epochs,
        bytes_per_token=None,
        bases=BASES,
    )


@pytest.fixture
def plan() -> MixturePlan:
    """Two languages; a task never seen, one seen too often and one of unknown size."""
    return MixturePlan(
        mixture="mix",
        policies={"mix": "weights <1>"},
        lengths={"inputs": 64, "targets": 20},
        max_epochs=4.0,
        stages=(PlanStage(0, "a", 3.0, 5000.0), PlanStage(9, "b", 0.0, 0.0)),
        tasks=(
            row("=task.often", 12.5, "sw"),
            row("task.unknown." + 40 * "x" + ".end", None, "de"),
            row("task.never", 0.0, "de"),
        ),
        languages=(row("sw", 12.5, "sw"), row("de", None, "de", tasks=2)),
        total=row("total", None, tasks=3),
    )


def test_drawings_are_well_formed_and_name_every_row(plan):
    page = mixture_page(plan)
    drawings = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(drawings) == 2
    languages, tasks = map(ET.fromstring, drawings)
    assert "Swahili · sw" in "".join(languages.itertext())
    text = "".join(tasks.itertext())
    assert "=task.often" in text and "xxx.end" in text and "…" in text
    dots = [e.get("class") for e in tasks.iter("circle")]
    assert dots == ["epochs-dot repeated estimate"]
    assert [e.text for e in tasks.iter("text") if e.text == "unknown"] == ["unknown"]
    bars = [e for e in tasks.iter("rect") if "share" in e.get("class")]
    assert len(bars) == 3 and all("estimate" in bar.get("class") for bar in bars)
    assert len({bar.get("width") for bar in bars}) == 1


def test_the_page_says_what_is_repeated_unknown_and_how_it_is_mixed(plan):
    page = mixture_page(plan)
    assert "1 of 3 tasks is seen more than 4 times." in page
    assert "<li>language sw (task =task.often): 12.5 epochs, more than 4</li>" in page
    assert "size of 1 tasks unknown" not in page and "size of 1 task unknown" in page
    assert "weights &lt;1&gt;" in page
    assert "b: not reached with this budget" in page
    calm = dataclasses.replace(plan, max_epochs=20.0, stages=plan.stages[:1])
    page = mixture_page(calm)
    assert "No task is known to be seen more than 20 times." in page
    assert "None that is known to be." in page and "not reached" not in page


def test_csv_leaves_empty_what_is_unknown_and_runs_no_formula(plan):
    rows = list(csv.DictReader(io.StringIO(mixture_csv(plan))))
    assert tuple(rows[0]) == COLUMNS
    assert [r["level"] for r in rows] == ["task"] * 3 + ["language"] * 2 + ["total"]
    often, unknown, never, *_ = rows
    assert often["name"] == "'=task.often" and often["repeated"] == "yes"
    assert (unknown["epochs"], unknown["repeated"]) == ("", "")
    assert (never["epochs"], never["repeated"]) == ("0.0000", "no")
    assert often["tokens_per_example_basis"] == "family"
