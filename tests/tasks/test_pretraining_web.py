"""Tasks and mixtures of whatever languages a folder of web text has."""

from __future__ import annotations

import gin
import numpy as np
import pytest
import seqio

from mtmoe.data.batches.training import TrainingBatches
from mtmoe.data.evaluation.examples import evaluation_examples
from mtmoe.data.mixing.mixtures import register_weighted_mixture
from mtmoe.data.mixing.plan import mixture_plan
from mtmoe.data.mixing.rates import task_rates
from mtmoe.data.tasks.card import task_card
from mtmoe.data.tasks.catalogue import TaskFilter, registered_at, select_tasks
from mtmoe.data.tasks.registry import get_mixture_or_task, get_task, register, tasks_of
from mtmoe.data.tasks.verify import verify_task
from mtmoe.errors import CorpusError, UnknownNameError

LENGTHS = {"inputs": 64, "targets": 20}
PAGES = {"sw": 400, "hr": 100, "sr_Latn": 25, "quy_Latn": 40}
TASKS = ["web.hr", "web.quy", "web.sr_Latn", "web.sw"]


@pytest.fixture(autouse=True)
def own(tmp_path, monkeypatch):
    register(["mtmoe.tasks.pretraining.web"])
    monkeypatch.setenv("MTMOE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MTMOE_WEB_TEXT", raising=False)
    gin.parse_config(
        "import mtmoe.data.vocabulary.configured\n"
        "configured_vocabulary.factory = @byte_vocabulary"
    )
    yield
    monkeypatch.delenv("MTMOE_WEB_TEXT", raising=False)
    select_tasks()  # forgets those of the folder


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A plain folder of four languages; mC4 has one of them."""
    web = tmp_path / "web"
    web.mkdir()
    for code, count in PAGES.items():
        lines = [f"ukurasa wa {number:03d} {code[:2]}" for number in range(count)]
        (web / f"{code}.txt").write_text("\n".join(lines), "utf-8")
    (web / "de-validation.txt").write_text("nur Geprüftes", "utf-8")  # no training text
    monkeypatch.setenv("MTMOE_WEB_TEXT", str(web))
    return web


def test_a_task_for_every_language_of_the_folder(folder):
    assert sorted(task.name for task in tasks_of("web")) == TASKS
    for ending, lengths in (
        ("", LENGTHS),
        (".prefix_lm", {"inputs": 64, "targets": 63}),
        (".lm", {"inputs": 2, "targets": 64}),
    ):
        assert len(tasks_of(f"web{ending}")) == 4
        task = get_task(f"web.sr_Latn{ending}")
        assert task_card(task).language == "sr-Latn"
        assert verify_task(task, "train", 5, lengths).problems == ()
        batch = TrainingBatches(f"web{ending}", 8, lengths, seed=0).batch(3)
        assert np.all((batch.features["targets"] != 0).any(axis=1))
        held_out = evaluation_examples(f"web.quy{ending}", "validation", lengths, 1)
        assert held_out.targets.any()
    assert "tasks/pretraining/web.py" in registered_at(get_task("web.hr"))
    assert {t.name for t in select_tasks(TaskFilter(language="hrv"))} >= {"web.hr"}


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("", {name: pages**0.3 for name, pages in PAGES.items()}),
        ("web/mixing_policy.policy = @ExamplesProportional", PAGES),
        (
            "web/mixing_policy.policy = @UniMax\n"
            "UniMax.budget = 200\nUniMax.unit = 'examples'",
            {"sw": 70.5, "hr": 70.5, "sr_Latn": 23.0, "quy_Latn": 36.0},
        ),
    ],
)
def test_rates_are_of_the_folders_own_sizes(folder, config, expected):
    gin.parse_config(config)
    rates = task_rates(get_mixture_or_task("web"))
    held_out = {"sw": 20, "hr": 10, "sr_Latn": 2, "quy_Latn": 4}
    if expected is PAGES:
        expected = {name: PAGES[name] - held_out[name] for name in PAGES}
    elif not config:
        expected = {name: (PAGES[name] - held_out[name]) ** 0.3 for name in PAGES}
    assert rates == pytest.approx(
        {f"web.{name.replace('quy_Latn', 'quy')}": r for name, r in expected.items()}
    )


def test_the_plan_of_a_small_folder_is_counted(folder):
    plan = mixture_plan("web", LENGTHS, tokens=3e5)
    batches = TrainingBatches("web", 8, LENGTHS, seed=0)
    for row in (*plan.tasks, *plan.languages, plan.total):
        assert row.size == "counted" and row.bytes_per_token == 1.0
    for row in plan.tasks:
        assert row.epoch_examples == pytest.approx(batches.num_rows[row.name], abs=1)
    assert 10 < plan.total.epochs < 100 and plan.absent == {}


def test_the_plan_of_mc4s_tasks_says_what_is_not_there(folder):
    register(["mtmoe.tasks.pretraining.mc4"])
    names = ("mc4.sw", "mc4.yo", "mc4.st")
    register_weighted_mixture("three_of_mc4", dict.fromkeys(names, 1))
    try:
        plan = mixture_plan("three_of_mc4", LENGTHS, tokens=1e6)
    finally:
        seqio.MixtureRegistry.remove("three_of_mc4")
    assert {row.name: row.size for row in plan.tasks} == {
        "mc4.sw": "counted",
        "mc4.yo": "published",
        "mc4.st": "published",
    }
    assert set(plan.absent) == {"mc4.yo", "mc4.st"} and plan.total.size == "published"
    assert plan.warnings[0].startswith("2 of 3 tasks have no text here")
    assert "languages in it: de, sw, hr, quy, sr-Latn" in plan.warnings[0]


def test_another_folder_has_other_tasks(folder, tmp_path, monkeypatch):
    assert len(tasks_of("web")) == 4
    other = tmp_path / "other"
    other.mkdir()
    (other / "yo.txt").write_text("a\nb\n", "utf-8")
    monkeypatch.setenv("MTMOE_WEB_TEXT", str(other))
    assert [task.name for task in tasks_of("web")] == ["web.yo"]
    with pytest.raises(UnknownNameError, match="task 'web.hr'"):
        get_task("web.hr")


def test_without_a_folder_names_say_so_and_lists_are_silent(capsys):
    for name in ("web", "web.sw", "web.lm"):
        with pytest.raises(CorpusError, match=r"no folder .* set \$MTMOE_WEB_TEXT"):
            get_mixture_or_task(name)
    assert not [task for task in select_tasks() if task.name.startswith("web.")]
    assert capsys.readouterr().err == ""


def test_a_folder_that_cannot_be_used_is_one_line_of_a_list(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("MTMOE_WEB_TEXT", str(tmp_path / "absent"))
    select_tasks()
    assert "tasks web.* are not listed: " in capsys.readouterr().err


def test_a_mixture_of_the_users_own_may_be_called_web():
    register(["mtmoe.tasks.pretraining.mc4"])
    register_weighted_mixture("web.mine", {"mc4.sw": 1, "mc4.yo": 2})
    try:
        assert len(tasks_of("web.mine")) == 2
    finally:
        seqio.MixtureRegistry.remove("web.mine")
