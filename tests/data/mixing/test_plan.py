"""What a mixture will feed: measured where the data is, marked where it is not."""

from __future__ import annotations

import functools

import gin
import numpy as np
import pytest
import seqio
from fake_tasks import add_text_task, random_documents

from mtmoe.data.batches.training import TrainingBatches
from mtmoe.data.mixing import encoding
from mtmoe.data.mixing.mixtures import register_mixture, register_weighted_mixture
from mtmoe.data.mixing.plan import NO_LANGUAGE, mixture_plan
from mtmoe.data.mixing.plan_rows import ESTIMATES
from mtmoe.data.mixing.policies import Temperature
from mtmoe.data.mixing.stages import register_staged_mixture
from mtmoe.data.mixing.task_facts import TYPICAL_TOKENS, task_facts
from mtmoe.data.objectives.language_model import LanguageModel
from mtmoe.data.objectives.span_corruption import SpanCorruption
from mtmoe.data.sources.pairs import PairSource
from mtmoe.data.sources.records import RecordSource
from mtmoe.data.sources.web.source import WebTextSource
from mtmoe.data.tasks.card import FAMILIES, TaskCard
from mtmoe.data.tasks.registration import register_task, register_text_task
from mtmoe.errors import ConfigError, CorpusError, UnknownNameError

pytestmark = pytest.mark.usefixtures("own_cache", "clean_registry")

LENGTHS = {"inputs": 64, "targets": 20}


class Corpus:
    """A little text in German and Russian."""

    languages = ("de", "ru")

    def documents(self, code, split):
        return ("Straßen und Häuser. " * 40,) if code == "de" else ("улица " * 99,)


@pytest.fixture
def bytes_and_little_text(monkeypatch):
    """The byte vocabulary, and `Corpus` for the embedded corpus."""
    gin.parse_config(
        "import mtmoe.data.vocabulary.configured\n"
        "configured_vocabulary.factory = @byte_vocabulary"
    )
    monkeypatch.setattr("mtmoe.data.mixing.encoding.load_corpus", Corpus)
    for function in (encoding._encoding, encoding._measure):
        function.cache_clear()
    yield
    for function in (encoding._encoding, encoding._measure):
        function.cache_clear()


@pytest.fixture
def mixed(byte_vocabulary, clean_registry):
    """Two texts and seven short examples, all at hand."""
    add_text_task("de1", random_documents(1, 7000), byte_vocabulary, language="de")
    add_text_task("de2", random_documents(2, 700), byte_vocabulary, language="de")
    examples = [{"inputs": "abc" * i, "targets": "d"} for i in range(1, 8)]
    source = PairSource(lambda split: examples, fingerprint=lambda: "seven")
    _pairs("pairs", source, byte_vocabulary)
    register_weighted_mixture("texts", {"de1": 5, "de2": 1})
    return register_weighted_mixture("mixed", {"texts": 3, "pairs": 1})


def _pairs(name, source, vocabulary, card=None):
    feature = seqio.Feature(vocabulary=vocabulary, add_eos=True)
    register_task(name, source, card or TaskCard("classification"))
    task = seqio.TaskRegistry.get(name)
    seqio.TaskRegistry.remove(name)
    features = {"inputs": feature, "targets": feature}
    seqio.TaskRegistry.add_provider(name, task.replace(output_features=features))


def _row(plan, name):
    return next(row for row in (*plan.tasks, *plan.languages) if row.name == name)


def test_a_plan_is_what_the_batches_then_hold(mixed):
    steps, batch_size = 60, 32
    plan = mixture_plan(mixed, LENGTHS, batch_size=batch_size, steps=steps)
    batches = TrainingBatches(mixed, batch_size, LENGTHS, seed=0)
    tokens = dict.fromkeys(batches.task_names, 0)
    for batch in map(batches.batch, range(steps)):
        sizes = (batch.features["inputs"] != 0).sum(1) + (
            batch.features["targets"] != 0
        ).sum(1)
        for number, name in enumerate(batches.task_names):
            tokens[name] += int(sizes[batch.segment_task[:, 0] == number].sum())
    assert plan.total.examples == steps * batch_size
    assert plan.total.tokens == pytest.approx(sum(tokens.values()), rel=0.01)
    for name, epochs in batches.epochs(steps).items():
        row = _row(plan, name)
        assert row.share_of_examples == pytest.approx(batches.shares[name], abs=1e-4)
        assert row.tokens == pytest.approx(tokens[name], rel=0.05)
        assert row.epochs == pytest.approx(epochs, rel=0.05)
        assert row.epoch_examples == batches.num_rows[name]
        assert row.bytes_per_token == 1.0
        assert set(row.bases.values()) == {"measured"}
    assert _row(plan, "de1").paths == ("mixed/texts",)
    assert _row(plan, "pairs").share_of_tokens < _row(plan, "pairs").share_of_examples


def test_languages_and_the_total_add_up(mixed):
    plan = mixture_plan(mixed, LENGTHS, tokens=50_000)
    assert plan.total.tokens == pytest.approx(50_000)
    german, none = _row(plan, "de"), _row(plan, NO_LANGUAGE)
    assert (german.num_tasks, none.num_tasks, plan.total.num_tasks) == (2, 1, 3)
    members = [_row(plan, name) for name in ("de1", "de2")]
    assert german.tokens == pytest.approx(sum(row.tokens for row in members))
    one_pass = sum(row.epoch_examples * row.tokens_per_example for row in members)
    assert german.epochs == pytest.approx(german.tokens / one_pass)
    shares = (german.share_of_tokens, none.share_of_tokens)
    assert sum(shares) == pytest.approx(1.0) == plan.total.share_of_examples
    assert plan.policies == {
        "mixed": "weights texts 3, pairs 1",
        "texts": "weights de1 5, de2 1",
    }


def test_repetition_is_warned_of_once_for_a_language_of_one_task(mixed):
    plan = mixture_plan(mixed, LENGTHS, tokens=30_000, max_epochs=2.0)
    epochs = {row.name: row.epochs for row in (*plan.tasks, *plan.languages)}
    assert epochs["de2"] > epochs["de"] > 2 > epochs["pairs"] / 20
    worst = max(epochs["de2"], epochs["pairs"])
    assert f": {worst:.1f} epochs, more than 2" in plan.warnings[0]
    assert [line.split(":")[0] for line in plan.warnings if "de" in line] == [
        *("task de2", "language de", "task de1")
    ]
    (pairs,) = (line for line in plan.warnings if "pairs" in line)
    assert pairs.startswith("task pairs:")
    alone = mixture_plan("de2", LENGTHS, tokens=30_000)
    (warning,) = alone.warnings
    assert warning.startswith("language de (task de2): ")
    assert mixture_plan(mixed, LENGTHS, tokens=100).warnings == ()


def test_a_staged_mixture_is_planned_stage_by_stage(mixed):
    register_staged_mixture("staged", [(0, "texts"), (10, "mixed"), (90, "pairs")])
    plan = mixture_plan("staged", LENGTHS, batch_size=16, steps=30)
    assert [stage.steps for stage in plan.stages] == [10, 20, 0]
    assert plan.stages[2].tokens == 0
    assert _row(plan, "pairs").examples == pytest.approx(20 * 16 / 4)
    assert _row(plan, "de1").paths == ("texts", "mixed/texts")
    in_tokens = mixture_plan("staged", LENGTHS, tokens=plan.total.tokens, batch_size=16)
    assert in_tokens.stages[1].steps == pytest.approx(20)
    assert in_tokens.total.examples == pytest.approx(plan.total.examples)
    batches = TrainingBatches("staged", 16, LENGTHS, seed=0)
    for name, epochs in batches.epochs(30).items():
        assert _row(plan, name).epochs == pytest.approx(epochs, rel=0.2)


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ({}, "tokens, or steps, and not both"),
        ({"tokens": 1e9, "steps": 3, "batch_size": 2}, "not both"),
        ({"tokens": -1.0}, "budget in tokens is -1.0; it must be a number above 0"),
        ({"tokens": float("inf")}, "budget in tokens is inf"),
        ({"steps": 3}, "a budget in steps needs the batch size"),
        ({"tokens": 1e9, "batch_size": 0}, "batch_size is 0"),
    ],
)
def test_budgets_that_say_nothing_are_errors(mixed, budget, message):
    with pytest.raises(ConfigError, match=message):
        mixture_plan(mixed, LENGTHS, **budget)


def test_a_staged_mixture_needs_the_batch_size(mixed):
    register_staged_mixture("staged", [(0, "texts"), (10, "mixed")])
    with pytest.raises(ConfigError, match="'staged' is staged, and needs the batch"):
        mixture_plan("staged", LENGTHS, tokens=1e6)
    with pytest.raises(UnknownNameError, match="did you mean staged"):
        mixture_plan("stagde", LENGTHS, tokens=1e6)
    with pytest.raises(ConfigError, match="need targets of .*'de1'"):
        mixture_plan(mixed, {"inputs": 64, "targets": 9}, tokens=1e6)


def test_text_that_is_not_here_is_estimated_from_its_card(bytes_and_little_text):
    def unread(*args):
        raise AssertionError("web text was read")

    for code, characters in (("de", 10**9), ("bg", 10**6), ("hi", None)):
        source = WebTextSource(code)
        source.pages = source.documents = unread
        card = TaskCard(
            "pretraining", code, train_examples=10**4, train_characters=characters
        )
        if code != "hi":
            register_text_task(f"web.{code}", source, SpanCorruption(), card)
    register_mixture("web", ["web.de", "web.bg"], functools.partial(Temperature, 0.0))
    plan = mixture_plan("web", LENGTHS, tokens=2e6)
    german, bulgarian = _row(plan, "web.de"), _row(plan, "web.bg")
    raw, targets = SpanCorruption().lengths(64)
    assert german.tokens_per_example == 64 + targets
    characters_per_token = 20 / 22  # of "Straßen und Häuser. " in bytes
    assert german.epoch_examples == pytest.approx(10**9 / characters_per_token / raw)
    assert german.bases == {
        "tokens_per_example": "filled",
        "epochs": "card",
        "bytes_per_token": "language",
    }
    assert bulgarian.bases["bytes_per_token"] == "script"
    assert bulgarian.is_estimate("epochs") and not german.is_estimate(
        "tokens_per_example"
    )
    assert plan.total.bases["bytes_per_token"] == "script"
    assert plan.policies == {"web": "Temperature(alpha=0.0, unit='examples')"}


def test_what_nobody_knows_is_unknown(bytes_and_little_text):
    register_text_task(
        "c4", WebTextSource("en", "c4"), SpanCorruption(), TaskCard("pretraining", "de")
    )
    register_text_task(
        "lm", WebTextSource("en", "c4"), LanguageModel(), TaskCard("pretraining", "dv")
    )
    source = RecordSource({"train": "nowhere.jsonl"}, lambda record: None)
    register_task("files", source, TaskCard("nli", train_examples=500))
    register_weighted_mixture("unknown", {"c4": 1, "lm": 1, "files": 2})
    plan = mixture_plan("unknown", LENGTHS, tokens=1e6)
    c4, lm, files = (_row(plan, name) for name in ("c4", "lm", "files"))
    assert c4.epochs is None and c4.bases["epochs"] == "unknown"
    assert lm.tokens_per_example == 21 and lm.bytes_per_token is None
    assert files.tokens_per_example == 64 + 3
    assert files.bases["tokens_per_example"] == "family" in ESTIMATES
    assert files.epochs == pytest.approx(files.examples / 500)
    assert plan.unknown_epochs == ("c4", "lm")
    assert plan.total.epochs is None and plan.total.bytes_per_token is None
    assert plan.total.bases["epochs"] == "unknown"


def test_lengths_by_the_card_and_by_every_family(bytes_and_little_text):
    tfds = seqio.TfdsDataSource("no_such/builder:1.0.0", splits={"train": "train"})
    card = TaskCard("nli", "de", train_examples=100, train_characters=2000)
    register_task("stated", tfds, card)
    facts = task_facts(seqio.TaskRegistry.get("stated"), LENGTHS)
    assert facts.tokens_per_example == pytest.approx(20 * 22 / 20 + 2)
    assert facts.bases["tokens_per_example"] == "card"
    assert set(TYPICAL_TOKENS) == set(FAMILIES)


def test_examples_at_hand_are_sampled(byte_vocabulary, tmp_path):
    examples = [{"inputs": "é" * 10, "targets": "bb"}] * 200
    _pairs("sampled", PairSource(lambda split: examples), byte_vocabulary)
    facts = task_facts(seqio.TaskRegistry.get("sampled"), LENGTHS)
    assert (facts.tokens_per_example, facts.epoch_examples) == (21 + 3, 200.0)
    assert facts.bases["tokens_per_example"] == "sampled"
    (tmp_path / "a.tsv").write_text("one\ntwo\n")
    feature = seqio.Feature(vocabulary=byte_vocabulary)
    lines = seqio.map_over_dataset(lambda line: {"inputs": line, "targets": "x"})
    for name, file in (("lines", "a.tsv"), ("absent", "b.tsv")):
        seqio.TaskRegistry.add(
            name,
            source=seqio.TextLineDataSource({"train": str(tmp_path / file)}),
            preprocessors=[
                lines,
                seqio.preprocessors.tokenize,
                seqio.preprocessors.append_eos,
            ],
            output_features={"inputs": feature, "targets": feature},
        )
    here = task_facts(seqio.TaskRegistry.get("lines"), LENGTHS)
    assert here.tokens_per_example == 3 + 1 + 1 + 1 and here.epoch_examples is None
    absent = task_facts(seqio.TaskRegistry.get("absent"), LENGTHS)
    assert absent.bases["tokens_per_example"] == "family"
    _pairs("empty", PairSource(lambda split: []), byte_vocabulary)
    with pytest.raises(CorpusError, match="'empty' has no training examples"):
        task_facts(seqio.TaskRegistry.get("empty"), LENGTHS)
    only_test = PairSource(lambda split: examples, splits=("test",))
    _pairs("only_test", only_test, byte_vocabulary)
    with pytest.raises(UnknownNameError, match="split of task 'only_test'"):
        task_facts(seqio.TaskRegistry.get("only_test"), LENGTHS)


def test_long_examples_count_as_they_are_cut(byte_vocabulary):
    examples = [{"inputs": "a" * n, "targets": "b" * n} for n in (1, 500)]
    source = PairSource(lambda split: examples, fingerprint=lambda: "long")
    _pairs("long", source, byte_vocabulary)
    facts = task_facts(seqio.TaskRegistry.get("long"), LENGTHS)
    assert facts.tokens_per_example == np.mean([2 + 2, 64 + 20])
