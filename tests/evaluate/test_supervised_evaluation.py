"""Supervised tasks beside text: they are scored, and leave the text's numbers alone."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import three_and_tasks
from three_and_tasks import NUM_EXAMPLES

from mtmoe.config.load import load_config
from mtmoe.data.evaluation.text_bytes import token_kinds
from mtmoe.data.tasks.registry import register
from mtmoe.data.vocabulary.configured import configured_vocabulary
from mtmoe.errors import ConfigError
from mtmoe.evaluate.baselines import training_baselines
from mtmoe.evaluate.examples import Sampling, mixture_examples
from mtmoe.evaluate.gaps import language_of
from mtmoe.evaluate.records import read_metric_rows
from mtmoe.evaluate.run import EvaluationRequest, evaluate

LENGTHS = {"inputs": 48, "targets": 20}


@pytest.fixture
def configured(tiny_model):
    load_config(model_dir=tiny_model, roots=["train"])
    register([three_and_tasks.__name__])


def test_baselines_are_those_of_the_text(configured):
    is_text_V = token_kinds(configured_vocabulary()).is_text
    alone = training_baselines("three", 10, LENGTHS, is_text_V).models
    together = training_baselines("three_and_tasks", 10, LENGTHS, is_text_V).models
    np.testing.assert_allclose(together.mixture, alone.mixture, rtol=1e-12)
    assert set(together.languages) == set(alone.languages) == {"de", "sw", "iw"}
    for code, nats_V in alone.languages.items():
        np.testing.assert_allclose(together.languages[code], nats_V, rtol=1e-12)


def test_some_examples_of_each_supervised_task(configured):
    def sizes(max_examples):
        sampling = Sampling(LENGTHS, 2, 0, max_examples)
        tasks = mixture_examples("three_and_tasks", "validation", sampling).tasks
        return {task.task: task for task in tasks}

    all_of_them, some = sizes(None), sizes(7)
    for name in ("three.name.sw", "three.code"):
        assert len(all_of_them[name].examples.targets) == NUM_EXAMPLES
        assert len(some[name].examples.targets) == 7
        assert len(set(some[name].examples.group.tolist())) == 7
    for name in ("three.de", "three.sw", "three.iw"):
        kept = some[name].examples.targets
        np.testing.assert_array_equal(kept, all_of_them[name].examples.targets)
    assert some["three.name.sw"].group == "three.name.<language>"


def test_the_language_of_a_task_in_several(configured):
    assert language_of("three.code").code == "mul"
    assert language_of("three.name.sw").code == "sw"
    assert language_of("three.iw").name == "Hebrew"


def test_the_headline_is_of_text_alone(tiny_model, tmp_path, configured):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    request = EvaluationRequest(folder, mixture="three_and_tasks", checkpoint="10")
    [directory] = evaluate(request)
    facts = json.loads((directory / "evaluation.json").read_text("utf-8"))
    rows = {
        row.task: row.value
        for row in read_metric_rows(directory / "per_language.csv")
        if row.metric == "bits_per_byte"
    }
    assert set(rows) == {
        *("three.de", "three.sw", "three.iw"),
        *("three.name.sw", "three.code"),
    }
    text = [rows[f"three.{code}"] for code in ("de", "sw", "iw")]
    assert facts["mean_bits_per_byte"] == pytest.approx(np.mean(text), abs=1e-5)
    assert facts["tasks"]["three.code"]["labels"] == "rule"
    assert facts["tasks"]["three.code"]["language"] == "mul"
    assert facts["tasks"]["three.name.sw"]["family"] == "names"


def test_text_without_a_language_has_no_row(configured):
    from mtmoe.data.objectives.span_corruption import SpanCorruption
    from mtmoe.data.sources.text import TextSource
    from mtmoe.data.tasks.card import TaskCard
    from mtmoe.data.tasks.registration import register_text_task

    source = TextSource(lambda split: ["text"])
    register_text_task("three.none", source, SpanCorruption(), TaskCard("pretraining"))
    with pytest.raises(ConfigError, match="names no language"):
        language_of("three.none")
