"""The embedded tasks: registered at once, read late, usable by plain SeqIO."""

from __future__ import annotations

import sys

import gin
import numpy as np
import pytest
import seqio

from mtmoe.data.batches.training import TrainingBatches
from mtmoe.data.evaluation.examples import evaluation_examples
from mtmoe.data.mixing.rates import task_rates
from mtmoe.data.tasks.card import task_card
from mtmoe.data.tasks.form import TEXT, task_form
from mtmoe.data.tasks.registry import (
    get_mixture_or_task,
    get_task,
    register,
)
from mtmoe.languages import MC4_LANGUAGES

MIXTURE = "embedded.span_corruption"
LENGTHS = {"inputs": 64, "targets": 20}


class FakeCorpus:
    """Texts whose size depends on the language; validation differs from training."""

    fingerprint = "fake"

    def documents(self, language: str, split: str) -> tuple[str, ...]:
        size = 20 + 5 * MC4_LANGUAGES.index(language)
        return (f"{split} text in {language}. " * size,)


@pytest.fixture
def fake_corpus(monkeypatch, tmp_path):
    register()
    module = sys.modules["mtmoe.tasks.embedded.span_corruption"]
    monkeypatch.setattr(module, "load_corpus", FakeCorpus)
    monkeypatch.setenv("MTMOE_CACHE", str(tmp_path))
    gin.parse_config(
        "import mtmoe.data.vocabulary.configured\n"
        "configured_vocabulary.factory = @byte_vocabulary"
    )


def test_a_task_for_each_language_and_one_mixture_of_all():
    register()
    mixture = get_mixture_or_task(MIXTURE)
    names = {f"{MIXTURE}.{language}" for language in MC4_LANGUAGES}
    assert {task.name for task in mixture.tasks} == names and len(names) == 101
    for task in mixture.tasks:
        assert tuple(task.splits) == ("train", "validation")
        assert task_form(task).kind == TEXT
        assert f"{MIXTURE}.{task_card(task).language}" == task.name


def test_rates_follow_characters_to_the_power_of_alpha(fake_corpus):
    rates = task_rates(get_mixture_or_task(MIXTURE))
    characters = {
        f"{MIXTURE}.{language}": len(FakeCorpus().documents(language, "train")[0])
        for language in MC4_LANGUAGES
    }
    assert rates == pytest.approx({name: n**0.3 for name, n in characters.items()})
    gin.bind_parameter("embedded_span_corruption/Temperature.alpha", 0.0)
    assert set(task_rates(get_mixture_or_task(MIXTURE)).values()) == {1.0}


@pytest.mark.parametrize("language", ["sw", "zh"])
def test_plain_seqio_runs_a_task(fake_corpus, language):
    dataset = seqio.get_mixture_or_task(f"{MIXTURE}.{language}").get_dataset(
        sequence_length=LENGTHS, split="validation", shuffle=False, seed=1
    )
    rows = list(dataset.as_numpy_iterator())
    (document,) = FakeCorpus().documents(language, "validation")
    spans = [_restored(row["inputs"], row["targets"]) for row in rows]
    assert seqio.ByteVocabulary().decode(sum(spans, [])) == document


def _restored(inputs: np.ndarray, targets: np.ndarray) -> list[int]:
    spans: dict[int, list[int]] = {}
    for token in targets[:-1].tolist():
        if token >= 259:
            span = spans.setdefault(token, [])
        else:
            span.append(token)
    assert inputs[-1] == targets[-1] == 1
    parts = [spans.get(token, [token]) for token in inputs[:-1].tolist()]
    return [token for part in parts for token in part]


def test_all_languages_make_batches_and_held_out_examples(fake_corpus):
    batches = TrainingBatches(MIXTURE, 512, LENGTHS, seed=0)
    assert sum(batches.shares.values()) == pytest.approx(1.0)
    seen = np.concatenate([batches.batch(step).segment_task[:, 0] for step in range(4)])
    assert set(seen) == set(range(101))
    examples = evaluation_examples(f"{MIXTURE}.sw", "validation", LENGTHS)
    (document,) = FakeCorpus().documents("sw", "validation")
    for sample in range(4):
        rows = slice(sample, None, 4)
        text = [
            token
            for inputs, targets in zip(
                examples.inputs[rows], examples.targets[rows], strict=True
            )
            for token in _restored(inputs[inputs != 0], targets[targets != 0])
        ]
        assert seqio.ByteVocabulary().decode(text) == document


def test_the_objective_follows_the_configuration_at_registration():
    objective = task_form(get_task(f"{MIXTURE}.de")).objective
    assert (objective.noise_density, objective.mean_noise_span_length) == (0.15, 3.0)
