"""What tasks are to the engine, by their steps alone."""

from __future__ import annotations

import functools

import pytest
import seqio
import tensorflow as tf
from fake_tasks import (
    REKEY_TEXT,
    TEXT_STEPS,
    add_supervised_task,
    add_text_task,
    features,
)

from mtmoe.data.objectives.span_corruption import SpanCorruption
from mtmoe.data.tasks.form import EXAMPLES, STREAM, TEXT, check_split, task_form
from mtmoe.errors import UnknownNameError

pytestmark = pytest.mark.usefixtures("clean_registry")

PLACEHOLDER = seqio.CacheDatasetPlaceholder()
TOKENIZE = seqio.preprocessors.tokenize
APPEND, APPEND_AFTER_TRIM = (
    seqio.preprocessors.append_eos,
    seqio.preprocessors.append_eos_after_trim,
)


def nothing(dataset):
    return dataset


def test_text_has_an_objective_and_eos_at_its_end(byte_vocabulary):
    task = add_text_task("text", ["a"], byte_vocabulary)
    form = task_form(task)
    assert (form.kind, form.features, form.reason) == (TEXT, ("targets",), "")
    assert form.offline == TEXT_STEPS[:2] and form.online == (APPEND,)
    assert form.objective == SpanCorruption()
    assert task_form(task) is form, "it is kept with the task"
    bare = [REKEY_TEXT, TOKENIZE, *TEXT_STEPS[3:]]
    without = add_text_task("bare", ["a"], byte_vocabulary, bare)
    assert task_form(without).offline == form.offline


@pytest.mark.parametrize("end", [(), (APPEND,), (APPEND_AFTER_TRIM,)])
def test_examples_have_at_most_eos_behind_the_placeholder(byte_vocabulary, end):
    steps = [nothing, TOKENIZE, PLACEHOLDER, *end]
    form = task_form(add_text_task("pairs", ["a"], byte_vocabulary, steps))
    assert (form.kind, form.objective) == (EXAMPLES, None)
    assert (form.offline, form.online) == ((nothing, TOKENIZE), end)
    assert form.features == ("inputs", "targets")


def test_a_decoder_alone_has_targets_alone(byte_vocabulary):
    task = add_supervised_task("both", [("a", "b")], byte_vocabulary)
    only = {"targets": task.output_features["targets"]}
    assert task_form(task.replace(output_features=only)).features == ("targets",)


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        ([TOKENIZE, APPEND], "it has no seqio.CacheDatasetPlaceholder"),
        ([TOKENIZE, PLACEHOLDER, nothing, APPEND], "follow.*: nothing, append_eos"),
        (
            [TOKENIZE, PLACEHOLDER, functools.partial(nothing)],
            "other than append_eos or append_eos_after_trim.*: nothing",
        ),
        ([REKEY_TEXT, TOKENIZE, PLACEHOLDER, SpanCorruption()], "SpanCorruption"),
        ([REKEY_TEXT, TOKENIZE, SpanCorruption, APPEND], "no seqio.CacheDataset"),
    ],
)
def test_anything_else_is_a_stream_with_a_reason(byte_vocabulary, steps, reason):
    # The last one is a class where an objective is meant: no mistake of ours to hide.
    source = seqio.FunctionDataSource(
        lambda split, shuffle_files: tf.data.Dataset.range(1), splits=["train"]
    )
    task = seqio.Task(
        "stream",
        source=source,
        preprocessors=steps,
        output_features=features(byte_vocabulary),
    )
    form = task_form(task)
    assert (form.kind, form.offline, form.features) == (STREAM, (), ())
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(form.reason)


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        ({"mask": {}}, "its features are inputs, mask, targets, not inputs and"),
        ({"inputs": {"dtype": tf.float32}}, "feature 'inputs' is no list of tokens"),
        ({"targets": {"rank": 2}}, "feature 'targets' is no list of tokens"),
    ],
)
def test_features_that_are_no_lists_of_tokens_are_streamed(
    byte_vocabulary, extra, reason
):
    task = add_supervised_task("odd", [("a", "b")], byte_vocabulary)
    named = dict(task.output_features)
    for name, arguments in extra.items():
        named[name] = seqio.Feature(byte_vocabulary, **arguments)
    form = task_form(task.replace(output_features=named))
    assert form.kind == STREAM and reason in form.reason


def test_a_split_that_is_not_there_is_named_with_the_nearest(byte_vocabulary):
    task = add_text_task("text", ["a"], byte_vocabulary)
    check_split(task, "validation")
    with pytest.raises(UnknownNameError, match="did you mean validation"):
        check_split(task, "validatoin")
