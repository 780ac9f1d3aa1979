"""Whatever can be trained can be evaluated, or a line says what is left out and why."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from untrained_run import write_untrained_run

from mtmoe.cli.main import main
from mtmoe.data.evaluation.examples import evaluation_examples
from mtmoe.data.evaluation.rows import RowBudget
from mtmoe.evaluate.records import read_metric_rows
from mtmoe.evaluate.trained_run import load_trained_run
from mtmoe.files import finish_writing, write_together

LEFT_OUT = {
    "partly.train_only": "it has no split 'validation'; it has train",
    "partly.empty": "has no text in split 'validation'",
    "partly.blank": "has no text in split 'validation'",
    "partly.no_language": "names no language",
}


@pytest.fixture(autouse=True, scope="module")
def _own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MTMOE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def partly(tmp_path_factory):
    """A run on five tasks of which one can be scored."""
    folder = tmp_path_factory.mktemp("partly") / "run"
    return write_untrained_run(folder, "partly.all", ["partly_held_out"])


def test_members_that_cannot_be_scored_leave_the_others_alone(
    partly, tmp_path, capsys, tried
):
    assert main(["evaluate", f"--model_dir={partly}"]) == 0
    said = capsys.readouterr().err
    evaluation = partly / "evaluation" / "step_20"
    facts = json.loads((evaluation / "evaluation.json").read_text())
    assert {row.task for row in read_metric_rows(evaluation / "per_language.csv")} == {
        "partly.sw"
    }
    reasons = {task["task"]: task["reason"] for task in facts["left_out"]}
    assert reasons.keys() == LEFT_OUT.keys()
    for task, reason in LEFT_OUT.items():
        assert reason in reasons[task]
        assert re.search(f"{task}: .*{re.escape(reason)}", said)
    report = tmp_path / "report"
    assert main(["report", f"--model_dir={partly}", f"--output_dir={report}"]) == 0
    for name in ("report.html", "report.md"):
        text = (report / name).read_text().replace("\\", "")
        assert all(f"Not scored: {task}" in text for task in LEFT_OUT)
    assert {
        t["task"] for t in json.loads((report / "summary.json").read_text())["left_out"]
    } == (LEFT_OUT.keys())
    for what, outcome in (
        (
            "a member without a validation split",
            "has no split 'validation'; it has train",
        ),
        ("a member whose validation split is empty, or blank", "has no text in split"),
        ("self-supervised text whose card names no language", "names no language"),
    ):
        tried("coverage", what, f"left out with a line, the others scored: `{outcome}`")


def test_the_gaps_are_said_before_training(partly, capsys, tried):
    assert main(["check", f"--gin_file={partly / 'config.gin'}"]) == 0
    said = capsys.readouterr()
    assert (
        "evaluation will leave out 2 of 5 tasks of 'partly.all'" in said.out + said.err
    )
    assert "partly.train_only: it has no split 'validation'" in said.out + said.err
    tried(
        "coverage",
        "`check` of a mixture with members that evaluation cannot score",
        "listed before training, with the cure",
    )


def test_a_language_that_mc4_lacks_has_a_row(tmp_path, tried):
    run = write_untrained_run(tmp_path / "run", "partly.with_hr", ["partly_held_out"])
    assert main(["evaluate", f"--model_dir={run}"]) == 0
    rows = read_metric_rows(run / "evaluation" / "step_20" / "per_language.csv")
    assert {row.language for row in rows} == {"sw", "hr"}
    tried(
        "coverage", "a mixture with a language outside mC4's list", "a row of its own"
    )


MODULE = """
from mtmoe.data.tasks.registration import register_task
from mtmoe.data.sources.records import RecordSource
from mtmoe.data.tasks.card import TaskCard

source = RecordSource(
    {"train": "mood.csv"}, lambda row: {"inputs": row["text"], "targets": row["mood"]}
)
register_task(
    "NAME", source, TaskCard(family="classification", language="sw", labels="gold")
)
"""
ROWS = "text,mood\n" + "maji safi,furaha\nsafari ndefu,hasira\n" * 10


def _project(folder, name):
    """A folder with a task module and the relative file that it reads."""
    folder.mkdir()
    (folder / f"{name}.py").write_text(MODULE.replace("NAME", name))
    (folder / "mood.csv").write_text(ROWS)
    return folder


def test_a_table_with_a_train_split_only(tmp_path, monkeypatch, capsys, tried):
    monkeypatch.chdir(_project(tmp_path / "project", "mood_train_only"))
    name = "mood_train_only"
    run = write_untrained_run(tmp_path / "run", name, [name])
    assert main(["evaluate", f"--model_dir={run}"]) == 2
    error = capsys.readouterr().err
    assert f"{name}: it has no split 'validation'; it has train" in error
    assert "--split" in error and "--text_dir" in error and "Held-out text" in error
    tried(
        "coverage",
        "evaluation of a CSV that has a train split only",
        "refused, with the splits there are and three cures",
    )
    report = ["report", f"--model_dir={run}", f"--output_dir={tmp_path / 'report'}"]
    assert main(["evaluate", f"--model_dir={run}", "--split=train"]) == 0
    assert main([*report, "--evaluation=split/train"]) == 0
    assert (
        "which the model was trained on" in (tmp_path / "report/report.md").read_text()
    )
    capsys.readouterr()
    assert main(report) == 2
    assert "--evaluation=split/train" in capsys.readouterr().err
    tried("coverage", "the same with `--split=train`", "scored; the report says so")

    texts = tmp_path / "texts"
    texts.mkdir()
    (texts / "sw.txt").write_text(
        "watu wote wamezaliwa huru, hadhi na haki zao ni sawa. " * 9
    )
    (texts / "fr.txt").write_text(
        "tous les êtres humains naissent libres et égaux. " * 9
    )
    assert main(["evaluate", f"--model_dir={run}", f"--text_dir={texts}"]) == 0
    assert "has not been trained on" in capsys.readouterr().err
    assert main([*report, "--evaluation=text_dir/texts"]) == 0
    page = (tmp_path / "report/report.md").read_text()
    assert "Text folder texts" in page and "No unigram model of their own" in page
    json.loads(
        (tmp_path / "report/summary.json").read_text(), parse_constant=pytest.fail
    )
    tried(
        "coverage",
        "`--text_dir` and `report` for a model trained on supervised tasks alone",
        "scored and reported, with the objective that it was not trained on",
    )


def test_a_model_is_evaluated_from_any_folder(tmp_path, monkeypatch, capsys, tried):
    project = _project(tmp_path / "project", "mood_elsewhere")
    name = "mood_elsewhere"
    write_untrained_run(tmp_path / "run", name, [name], trained_in=project)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert main(["evaluate", "--model_dir=../run", "--split=train"]) == 0
    assert capsys.readouterr().out.strip() == "../run/evaluation/step_20/split/train"
    tried(
        "coverage",
        "`evaluate` from another folder than the run was trained in",
        "its task module and its relative files are found",
    )
    gone = write_untrained_run(
        tmp_path / "gone", "mood_gone", ["mood_gone"], trained_in=tmp_path / "removed"
    )
    assert main(["evaluate", f"--model_dir={gone}"]) == 2
    error = capsys.readouterr().err
    assert "task module 'mood_gone'" in error and "which is gone" in error
    shutil.rmtree(gone)
    tried(
        "coverage",
        "the same when that folder is gone",
        "refused: the module and the folder it was in are named",
    )


def test_any_token_budget_gives_rows_of_the_whole(partly, tried):
    load_trained_run(partly)
    lengths = {"inputs": 48, "targets": 20}
    whole = evaluation_examples("partly.sw", "validation", lengths, 2)

    @settings(max_examples=50, deadline=None)
    @given(st.integers(1, 6000), st.integers(0, 99))
    def check(max_tokens, seed):
        budget = RowBudget(max_tokens, seed=seed)
        some = evaluation_examples("partly.sw", "validation", lengths, 2, budget=budget)
        rows = np.unique(some.group)
        assert some.coverage.num_rows == len(rows)
        assert some.coverage.num_tokens <= max_tokens or len(rows) == 1
        assert some.coverage.of_tokens == whole.coverage.of_tokens
        kept = np.isin(whole.group, rows)
        np.testing.assert_array_equal(some.inputs, whole.inputs[kept])
        np.testing.assert_array_equal(some.targets, whole.targets[kept])

    check()
    tried(
        "coverage",
        "50 generated token budgets of a validation text",
        "never more tokens than that, and the examples that the whole text has too",
    )


def test_a_writer_killed_at_any_rename(tmp_path, monkeypatch, tried):
    class Killed(BaseException):
        """Stands for the process ending at once."""

    replace, old = os.replace, {"a.csv": "old", "b.json": "old"}
    for left in range(4):
        write_together(tmp_path, old)
        before = iter(range(left))

        def dies(*paths, before=before):
            if next(before, None) is None:
                raise Killed
            replace(*paths)

        monkeypatch.setattr(os, "replace", dies)
        with pytest.raises(Killed) if left < 3 else contextlib.nullcontext():
            write_together(tmp_path, {"a.csv": "new", "b.json": "new"})
        monkeypatch.setattr(os, "replace", replace)
        finish_writing(tmp_path)
        texts = {name: (tmp_path / name).read_text() for name in old}
        assert set(texts.values()) == {"new" if left else "old"}
    tried(
        "runs and checkpoints",
        "a process killed at any of the renames of an evaluation's files",
        "all files old or all new for whoever reads them next",
    )
