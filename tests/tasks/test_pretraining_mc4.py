"""mC4's and C4's tasks: their names, rates, and a run on text in a published layout."""

from __future__ import annotations

import gin
import numpy as np
import pytest
import seqio

from mtmoe.data.batches.training import TrainingBatches
from mtmoe.data.evaluation.examples import evaluation_examples
from mtmoe.data.mixing.mixtures import register_mixture
from mtmoe.data.mixing.policies import Temperature
from mtmoe.data.mixing.rates import task_rates
from mtmoe.data.sources.web.mc4_statistics import MC4_STATISTICS
from mtmoe.data.sources.web.source import WebTextSource
from mtmoe.data.tasks.card import task_card
from mtmoe.data.tasks.registry import get_mixture_or_task, get_task, register, tasks_of
from mtmoe.data.tasks.verify import verify_task
from mtmoe.languages import LANGUAGES

ENDINGS = ("", ".prefix_lm", ".lm")
LENGTHS = {
    "": {"inputs": 64, "targets": 20},
    ".prefix_lm": {"inputs": 64, "targets": 63},
    ".lm": {"inputs": 2, "targets": 64},
}


@pytest.fixture(autouse=True)
def registered(tmp_path, monkeypatch):
    register(["mtmoe.tasks.pretraining.mc4", "mtmoe.tasks.pretraining.c4"])
    monkeypatch.setenv("MTMOE_CACHE", str(tmp_path / "cache"))
    gin.parse_config(
        "import mtmoe.data.vocabulary.configured\n"
        "configured_vocabulary.factory = @byte_vocabulary"
    )


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A plain folder of three languages."""
    web = tmp_path / "web"
    web.mkdir()
    for code in ("sw", "he", "ru_Latn"):
        for split in ("train", "validation"):
            lines = [f"{split} {i} ya lugha {code}, בדיקה" for i in range(40)]
            (web / f"{code}-{split}.txt").write_text("\n".join(lines), "utf-8")
    monkeypatch.setenv("MTMOE_WEB_TEXT", str(web))
    return web


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_task_for_each_of_107_codes_by_mt5s_names(ending):
    names = {
        f"mc4.{language.code.replace('-', '_')}{ending}": language.code
        for language in LANGUAGES
    }
    tasks = tasks_of(f"mc4{ending}")
    assert {task.name for task in tasks} == set(names) and len(names) == 107
    for task in tasks:
        card = task_card(task)
        assert card.language == names[task.name]
        assert card.train_examples == MC4_STATISTICS[card.language].train_pages
        assert tuple(task.splits) == ("train", "validation")
        assert task.source is get_task(task.name.removesuffix(ending)).source


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_mixtures_sample_as_mt5_did(ending):
    gin.bind_parameter(f"mc4{ending.replace('.', '_')}/Temperature.alpha", 1 / 3.3)
    rates = task_rates(get_mixture_or_task(f"mc4{ending}"))
    total = sum(rates.values())
    for code, row in MC4_STATISTICS.items():
        rate = rates[f"mc4.{code.replace('-', '_')}{ending}"]
        assert 100 * rate / total == pytest.approx(row.mt5_percent, abs=0.01)


@pytest.mark.parametrize("ending", ENDINGS)
def test_tasks_run_on_the_users_text(ending, folder):
    lengths = LENGTHS[ending]
    assert verify_task(get_task(f"mc4.sw{ending}"), "train", 5, lengths).problems == ()
    for code in ("sw", "iw", "ru_Latn"):
        name = f"mc4.{code}{ending}"
        held_out = evaluation_examples(name, "validation", lengths, 1)
        assert held_out.targets.any(axis=1).all()
    batches = TrainingBatches(f"mc4.sw{ending}", 8, lengths, seed=0)
    first, again = batches.batch(3), batches.batch(3)
    np.testing.assert_array_equal(first.features["targets"], again.features["targets"])
    expected = sum(
        len(text.encode()) for text in get_task("mc4.sw").source.documents("train")
    )
    assert batches.num_tokens[f"mc4.sw{ending}"] == pytest.approx(expected, abs=64)


def test_a_mixture_of_the_languages_one_has(folder):
    register_mixture("my_web", ["mc4.sw", "mc4.iw"], Temperature)
    try:
        batches = TrainingBatches("my_web", 8, LENGTHS[""], seed=0)
        pages = {code: MC4_STATISTICS[code].train_pages for code in ("sw", "iw")}
        ratio = batches.shares["mc4.iw"] / batches.shares["mc4.sw"]
        assert ratio == pytest.approx((pages["iw"] / pages["sw"]) ** 0.3, rel=1e-3)
    finally:
        seqio.MixtureRegistry.remove("my_web")


def test_english_c4_has_a_task_for_each_objective():
    for ending in ENDINGS:
        task = get_task(f"c4.en{ending}")
        assert isinstance(task.source, WebTextSource)
        assert task_card(task).train_examples == 364_868_901
