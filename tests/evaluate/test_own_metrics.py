"""Metrics of supervised tasks: by hand, and as SeqIO's own evaluator computes them."""

from __future__ import annotations

import csv
import dataclasses
import json
import shutil
from pathlib import Path

import metric_tasks
import numpy as np
import pytest
import seqio

from mtmoe.config.load import load_config
from mtmoe.data.evaluation.examples import EvaluationExamples
from mtmoe.data.sources.pairs import PairSource
from mtmoe.data.tasks.card import TaskCard
from mtmoe.data.tasks.registration import register_task
from mtmoe.data.tasks.registry import get_task, register
from mtmoe.data.vocabulary.configured import configured_vocabulary
from mtmoe.errors import CorpusError
from mtmoe.evaluate import own_metrics as module
from mtmoe.evaluate.bootstrap import Bootstrap
from mtmoe.evaluate.examples import Sampling, mixture_examples
from mtmoe.evaluate.gaps import evaluation_gaps, own_metrics_gap
from mtmoe.evaluate.generation import Generator
from mtmoe.evaluate.own_metrics import OwnMetrics, has_own_metrics, task_records
from mtmoe.evaluate.run import EvaluationRequest, EvaluationSettings, evaluate
from mtmoe.model.decoding.strategies import BeamSearch, Greedy
from mtmoe.model.decoding.strategies import Sampling as Drawing
from mtmoe.train.settings import TrainingRun

LENGTHS = {"inputs": 48, "targets": 20}


@pytest.fixture
def tasks(tiny_model):
    load_config(model_dir=tiny_model, roots=["train"])
    register([metric_tasks.__name__])
    found = mixture_examples(
        "with_metrics", "validation", Sampling(LENGTHS, 1, 0)
    ).tasks
    return {task.task: task for task in found}


class KnownAnswers:
    """Stands in for a model: every text is known by its input."""

    def __init__(self, texts):
        self.texts = texts
        self.vocabulary = configured_vocabulary()

    def load(self, values, where):
        self.loaded = where

    def __call__(self, inputs, keys, what):
        assert len(keys) == len(inputs)
        rows = np.zeros([len(inputs), LENGTHS["targets"]], np.int32)
        for row, tokens in zip(rows, inputs.tolist(), strict=True):
            text = self.texts[self.vocabulary.decode(tokens)]
            ids = [*self.vocabulary.encode(text), self.vocabulary.eos_id]
            row[: len(ids)] = ids
        return rows


class KnownScores:
    """Stands in for a scorer: the scores of all examples in order."""

    def __init__(self, scores):
        self.scores = scores

    def load(self, values, where):
        pass

    def __call__(self, inputs, targets, what):
        return np.array(self.scores)


def test_values_are_those_counted_by_hand(tasks, monkeypatch):
    answers = {f"name {i}": f"jina {i}" for i in (0, 1, 2)} | {
        "name 3": "jina 4",
        "name 4": "",
    }
    # Truth: no yes no yes no yes.
    for i, text in enumerate(["no way", "yes", "yes", "no", "no", "maybe so"]):
        answers[f"is {i} odd"] = text
    monkeypatch.setattr(module, "Generator", lambda *_, **__: KnownAnswers(answers))
    scores = [-1.0, -2.0, -5.0, -3.0, -4.0, -4.5]  # the second of each pair is right
    monkeypatch.setattr(module, "TargetScorer", lambda *_: KnownScores(scores))
    bootstrap = Bootstrap(num_resamples=200)
    own = OwnMetrics(
        TrainingRun(), Greedy(), list(tasks.values()), "validation", bootstrap
    )
    own.load({}, "here")
    got = own("test")

    assert set(got) == {"metrics.name.sw", "metrics.answer.sw", "metrics.choice.sw"}
    name, answer = got["metrics.name.sw"], got["metrics.answer.sw"]
    assert list(name) == ["own_exact_match", "own_chrf++"]
    assert name["own_exact_match"].value == pytest.approx(60.0)
    assert 0.0 <= name["own_exact_match"].low < 60.0
    assert 60.0 < name["own_exact_match"].high <= 100.0
    assert 50.0 < name["own_chrf++"].value < 100.0
    assert np.isnan(name["own_chrf++"].low)  # of the corpus, no mean of examples
    # First words: no yes yes no no maybe; right are 0, 1 and 4.
    assert answer["own_exact_match"].value == pytest.approx(50.0)
    # "no": 2 of 3 found, 2 of 3 predicted right, F1 2/3; "yes": 1 of 3, 1 of 2, 2/5.
    assert answer["own_macro_f1"].value == pytest.approx(100 * (2 / 3 + 2 / 5) / 2)
    choice = got["metrics.choice.sw"]["own_rank_accuracy"]
    assert choice.value == pytest.approx(100 / 3) and np.isnan(choice.low)


@pytest.mark.slow
def test_as_the_evaluator_of_seqio_computes_them(tiny_model, tasks):
    names = ["metrics.name.sw", "metrics.answer.sw", "metrics.choice.sw"]
    own = OwnMetrics(
        TrainingRun(),
        Greedy(),
        [tasks[name] for name in names],
        "validation",
        Bootstrap(num_resamples=10),
    )
    ours = own("test")
    for name in names:
        evaluator = seqio.Evaluator(
            name,
            seqio.EncDecFeatureConverter(pack=False),
            eval_split="validation",
            sequence_length=LENGTHS,
            async_compute_metrics=False,
        )
        metrics, _ = evaluator.evaluate(
            compute_metrics=True,
            predict_fn=own._generator.predict_fn,
            score_fn=own._scorer.score_fn,
        )
        theirs = {
            f"own_{metric}": float(getattr(value, "value", value))
            for metric, value in metrics.result()[name].items()
        }
        assert theirs == pytest.approx({k: v.value for k, v in ours[name].items()})


def test_a_noise_key_is_the_number_in_the_task(tasks, monkeypatch):
    run = TrainingRun()
    generator = Generator(run, Drawing(temperature=2.0), 1, batch_size=4, seed=3)
    inputs = tasks["metrics.name.sw"].examples.inputs
    everything = generator(inputs, list(range(5)), "test")
    some = generator(inputs[[3, 1]], [3, 1], "test")
    np.testing.assert_array_equal(some, everything[[3, 1]])


def test_rows_of_an_evaluation(tiny_model, tmp_path, tasks):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    request = EvaluationRequest(
        folder, mixture="with_metrics", checkpoint="10", max_examples=2
    )
    [directory] = evaluate(request)
    with (directory / "per_language.csv").open(encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if row["metric"][:4] == "own_"]
    assert [(row["task"], row["metric"]) for row in rows] == [
        ("metrics.answer.sw", "own_exact_match"),
        ("metrics.answer.sw", "own_macro_f1"),
        ("metrics.choice.sw", "own_rank_accuracy"),
        ("metrics.name.sw", "own_exact_match"),
        ("metrics.name.sw", "own_chrf++"),
    ]
    assert {row["num_examples"] for row in rows} == {"2"}
    assert all(0 <= float(row["value"]) <= 100 for row in rows)
    facts = json.loads((directory / "evaluation.json").read_text("utf-8"))
    assert facts["decoding"] == {"strategy": "Greedy"}


def test_what_is_asked_for_wins_over_gin():
    load_config(gin_params=["evaluate.max_examples = 5", "BeamSearch.num_beams = 3"])
    assert EvaluationRequest(Path("m")).settings() == EvaluationSettings(max_examples=5)
    asked = EvaluationRequest(
        Path("m"), max_examples=2, own_metrics=False, strategy="beam_search"
    )
    assert asked.settings() == EvaluationSettings(
        max_examples=2, own_metrics=False, strategy=BeamSearch(num_beams=3)
    )


def test_text_has_no_metrics_of_its_own(tasks):
    assert not has_own_metrics(tasks["three.sw"])
    assert has_own_metrics(tasks["metrics.name.sw"])


def test_another_source_than_the_one_encoded(tasks, monkeypatch):
    other = [{"inputs": "name", "targets": "jina la pili"}] * 5
    source = get_task("metrics.name.sw").source
    monkeypatch.setattr(source, "examples", lambda split: other)
    with pytest.raises(CorpusError, match="other examples than its token cache"):
        task_records(tasks["metrics.name.sw"], "validation")


def test_token_0_inside_a_target_is_part_of_it(tasks, monkeypatch):
    targets = np.array([[5, 0, 6, 1, 0]], np.int32)
    examples = EvaluationExamples(targets, targets, targets, np.zeros(1, np.int32))
    task = dataclasses.replace(tasks["metrics.name.sw"], examples=examples)
    record = {"targets": [5, 0, 6]}
    monkeypatch.setattr(module, "_pair_record", lambda pair, task: record)
    assert task_records(task, "validation") == [record]
    record["targets"] = [5, 6]
    with pytest.raises(CorpusError, match="other examples"):
        task_records(task, "validation")


def test_a_metric_that_wants_more_is_left_out_alone(tasks):
    def with_aux(targets, predictions, aux_values):
        return {"x": 0.0}

    def plain(targets, predictions):
        return {"y": 1.0}

    source = PairSource(lambda split: metric_tasks.NAMES, ["train", "validation"])
    card = TaskCard("names", "sw", labels="gold")
    register_task("metrics.aux.sw", source, card, metrics=[with_aux, plain])
    register_task("metrics.aux_alone.sw", source, card, metrics=[with_aux])
    for name, has in (("metrics.aux.sw", True), ("metrics.aux_alone.sw", False)):
        [task] = mixture_examples(name, "validation", Sampling(LENGTHS, 1, 0)).tasks
        assert has_own_metrics(task) is has
        gap = own_metrics_gap(get_task(name))
        assert gap.what == "own metrics" and "with_aux wants aux_values" in gap.reason
        [said] = evaluation_gaps(name, "validation")
        assert f"{name}, own metrics: with_aux wants" in said
    assert own_metrics_gap(get_task("metrics.name.sw")) is None
