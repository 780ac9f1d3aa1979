"""The check of a task finds what is wrong with it."""

from __future__ import annotations

import functools

import pytest
import seqio
from t5.evaluation import metrics

from mtmoe.data.objectives.span_corruption import SpanCorruption
from mtmoe.data.sources.joined import JoinedSource, Part
from mtmoe.data.sources.pairs import PairSource
from mtmoe.data.sources.text import TextSource
from mtmoe.data.tasks.card import TaskCard
from mtmoe.data.tasks.registration import register_task, register_text_task
from mtmoe.data.tasks.registry import get_task
from mtmoe.data.tasks.verify import _is_at_hand, verify_task
from mtmoe.errors import CorpusError, UnknownNameError, UserCodeError

pytestmark = pytest.mark.usefixtures("own_cache", "clean_registry", "bytes_configured")

GOOD = [("moja", "one"), ("mbili", "two"), ("tatu", "three")]
CARD = TaskCard(family="translation", language="sw")


def add(pairs, metric=metrics.accuracy, **arguments):
    examples = [{"inputs": i, "targets": t, "word": i} for i, t in pairs]
    source = PairSource(lambda split: examples, ["train"])
    register_task("verified", source, CARD, metrics=[metric], **arguments)
    return get_task("verified")


def test_a_sound_task():
    found = verify_task(add(GOOD), "train", lengths={"inputs": 16, "targets": 8})
    assert found.problems == ()
    assert found.scores == {"accuracy": 100.0}
    assert found.num_examples == 3
    assert found.inputs_lengths == (pytest.approx((5 + 6 + 5) / 3), 6)
    assert found.targets_lengths[1] == 6


def test_empty_targets():
    [problem] = verify_task(add([*GOOD, ("nne", "")]), "train").problems
    assert problem == "targets are empty in 1 of 4 examples, first in example 4"


def test_targets_that_would_be_cut():
    lengths = {"inputs": 16, "targets": 5}
    [problem] = verify_task(add(GOOD), "train", lengths=lengths).problems
    assert "1 of 3 examples are longer than 5" in problem


def test_a_postprocessor_that_treats_targets_and_predictions_differently():
    def postprocess(text, example, is_target):
        return example["word"].decode() if is_target else text

    [problem] = verify_task(add(GOOD, postprocess=postprocess), "train").problems
    assert problem.startswith("accuracy is 0 when the targets are the predictions")


def test_an_error_rate_is_perfect_at_zero():
    def metric(targets, predictions):
        wrong = sum(t != p for t, p in zip(targets, predictions, strict=True))
        return {"character_error_rate": 100.0 * wrong}

    assert verify_task(add(GOOD, metric), "train").problems == ()


def test_self_supervised_tasks_are_run_at_the_lengths_of_a_batch():
    source = TextSource(lambda split: ["watu wote wamezaliwa huru " * 20], ["train"])
    register_text_task("verified.text", source, SpanCorruption(), CARD)
    found = verify_task(
        get_task("verified.text"), "train", lengths={"inputs": 64, "targets": 32}
    )
    assert found.problems == ()
    assert found.inputs_lengths[1] <= 64


def test_no_examples_and_no_such_split():
    with pytest.raises(CorpusError, match="no examples"):
        verify_task(add([]), "train")
    with pytest.raises(UnknownNameError, match="did you mean train"):
        verify_task(get_task("verified"), "trian")


def test_all_examples_are_read_and_a_smaller_number_is_said():
    many = [(f"neno {i}", "" if i == 1200 else f"{i}") for i in range(1300)]
    told = []
    found = verify_task(add(many), "train", on_progress=told.append)
    assert found.num_examples == 1300 and found.is_whole and found.num_scored == 1000
    assert found.problems == (
        "targets are empty in 1 of 1,300 examples, first in example 1,201",
    )
    assert told == [500, 1000]
    some = verify_task(get_task("verified"), "train", num_examples=50)
    assert (some.num_examples, some.num_available, some.is_whole) == (50, 1300, False)
    assert some.problems == ()
    exactly = verify_task(get_task("verified"), "train", num_examples=1300)
    assert exactly.is_whole


def test_a_source_of_another_machine_is_sampled(monkeypatch):
    tfds = seqio.TfdsDataSource("glue/cola:2.0.0", splits=["train"])
    remote = seqio.TextLineDataSource({"train": "gs://bucket/a.txt"})
    local = seqio.TextLineDataSource({"train": "/tmp/a.txt"})
    assert [_is_at_hand(source) for source in (tfds, remote, local)] == [0, 0, 1]
    joined = [JoinedSource([Part(local), Part(tfds)]), JoinedSource([Part(local)])]
    assert [_is_at_hand(source) for source in joined] == [0, 1]
    monkeypatch.setattr("mtmoe.data.tasks.verify._is_at_hand", lambda source: False)
    found = verify_task(add([(f"neno {i}", f"{i}") for i in range(60)]), "train")
    assert (found.num_examples, found.num_available) == (50, 60)


def test_blank_text_is_empty_whatever_tokens_it_has():
    [problem] = verify_task(add([*GOOD, (" ", "x")]), "train").problems
    assert problem == "inputs are empty in 1 of 4 examples, first in example 4"


def test_a_metric_that_the_card_does_not_name():
    source = PairSource(lambda split: [{"inputs": "moja", "targets": "one"}], ["train"])
    card = TaskCard("other", metrics=("acuracy",))
    register_task("verified", source, card, metrics=[metrics.accuracy])
    [problem] = verify_task(get_task("verified"), "train").problems
    assert problem == (
        "the metrics give accuracy, which the card does not name; it names acuracy "
        "(is acuracy misspelt?)"
    )


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (3, "gave 3 of type int"),
        ({"accuracy": None}, "gave 'accuracy' as None of type NoneType"),
        ({"accuracy": "high"}, "gave 'accuracy' as 'high' of type str"),
        ({5: 1.0}, "names a value 5 of type int"),
    ],
)
def test_a_metric_that_gives_no_numbers(given, words):
    def metric(targets, predictions):
        return given

    with pytest.raises(UserCodeError) as caught:
        verify_task(add(GOOD, metric), "train")
    line = metric.__code__.co_firstlineno
    assert (
        f"metric test_a_metric_that_gives_no_numbers.metric ({__file__}:{line}) "
        in (str(caught.value))
    )
    assert words in str(caught.value)


def test_registering_notes_the_statement():
    place = functools.partial(add, GOOD)().source_info
    assert place.file_path is None or place.line_number > 0
