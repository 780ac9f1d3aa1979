"""What a task gives: rows of its cached text, or its cached examples."""

from __future__ import annotations

import numpy as np
import pytest
import seqio
from fake_tasks import TEXT_STEPS, add_supervised_task, add_text_task, features

from mtmoe.data.objectives.language_model import LanguageModel
from mtmoe.data.objectives.span_corruption import SpanCorruption
from mtmoe.data.rows.cached import (
    ExampleRows,
    TextRows,
    check_lengths,
    open_task_rows,
    task_vocabulary,
    text_recipe,
)
from mtmoe.errors import ConfigError

pytestmark = pytest.mark.usefixtures("own_cache", "clean_registry")

LENGTHS = {"inputs": 64, "targets": 20}
RAW_LENGTH, _ = SpanCorruption().lengths(64)
PAIRS = [("one", "1"), ("twenty-one", "21"), ("a hundred", "100")]


def _registered(name: str, task: seqio.Task) -> seqio.Task:
    seqio.TaskRegistry.add_provider(name, task)
    return task


def _keys(count: int) -> np.ndarray:
    return np.arange(count, dtype=np.uint64)


@pytest.mark.parametrize(
    ("characters", "last_row"),
    [
        (3 * RAW_LENGTH, RAW_LENGTH),
        (3 * RAW_LENGTH + RAW_LENGTH // 4, RAW_LENGTH // 4),
        (3 * RAW_LENGTH + RAW_LENGTH // 4 - 1, RAW_LENGTH),
        (RAW_LENGTH - 1, RAW_LENGTH - 1),
        (1, 1),
    ],
)
def test_a_short_last_row_is_kept_if_it_is_a_quarter_full_or_the_only_one(
    byte_vocabulary, characters, last_row
):
    text = "".join(chr(97 + i % 26) for i in range(characters))
    task = add_text_task("text", [text[:50], text[50:]], byte_vocabulary)
    rows = open_task_rows(task, "train", LENGTHS)
    assert isinstance(rows, TextRows)
    order = np.arange(rows.num_rows)[::-1].copy()
    raw = rows.read(order)
    assert not raw.bad.any()
    parts = [
        byte_vocabulary.decode(
            raw.features[0].tokens[raw.features[0].bounds[i] :][:size].tolist()
        )
        for i, size in enumerate(np.diff(raw.features[0].bounds))
    ]
    assert len(parts[0]) == last_row
    kept = "".join(reversed(parts))
    assert kept == text[: len(kept)] and rows.num_tokens == len(kept)
    made = rows.recipe.make(raw, _keys(len(order)))
    sizes = np.stack([np.diff(made.inputs.bounds), np.diff(made.targets.bounds)], 1)
    np.testing.assert_array_equal(rows.sizes(order, _keys(len(order))), sizes)


def test_examples_are_read_in_any_order(byte_vocabulary):
    task = add_supervised_task("pairs", PAIRS, byte_vocabulary)
    rows = open_task_rows(task, "train", LENGTHS)
    assert isinstance(rows, ExampleRows) and rows.num_rows == 3
    assert rows.num_tokens == sum(len(i) + len(t) for i, t in PAIRS)
    raw = rows.read(np.array([2, 0, 2]))
    made = rows.recipe.make(raw, _keys(3))
    assert byte_vocabulary.decode(made.targets.tokens.tolist()[:3]) == "100"
    np.testing.assert_array_equal(np.diff(made.targets.bounds), [4, 2, 4])
    np.testing.assert_array_equal(
        rows.sizes(np.array([2, 0, 2]), _keys(3)), [[10, 4], [4, 2], [10, 4]]
    )


def test_a_feature_without_eos_gets_none(byte_vocabulary):
    plain = {
        "inputs": seqio.Feature(byte_vocabulary, add_eos=False),
        "targets": seqio.Feature(byte_vocabulary, add_eos=True),
    }
    for name, task in (
        ("text", add_text_task("text", ["abc" * 99], byte_vocabulary)),
        ("pairs", add_supervised_task("pairs", PAIRS, byte_vocabulary)),
    ):
        seqio.TaskRegistry.remove(name)
        task = _registered(name, task.replace(output_features=plain))
        rows = open_task_rows(task, "train", LENGTHS)
        made = rows.recipe.make(rows.read(np.array([0])), _keys(1))
        assert made.inputs.tokens[-1] != 1 and made.targets.tokens[-1] == 1


def test_a_task_of_targets_alone_serves_a_decoder_alone(byte_vocabulary):
    only = {"targets": features(byte_vocabulary)["targets"]}
    steps = [*TEXT_STEPS[:3], seqio.preprocessors.append_eos_after_trim]
    text = add_text_task("text", ["one two", "three"], byte_vocabulary)
    replaced = text.replace(name="only", preprocessors=steps, output_features=only)
    task = _registered("only", replaced)
    rows = open_task_rows(task, "train", {"targets": 6})
    assert isinstance(rows, ExampleRows)
    made = rows.recipe.make(rows.read(np.arange(2)), _keys(2))
    assert made.inputs.bounds.tolist() == [0, 0, 0]
    assert byte_vocabulary.decode(made.targets.tokens.tolist()) == "one t"
    np.testing.assert_array_equal(rows.sizes(np.arange(2), _keys(2)), [[0, 6], [0, 6]])
    with pytest.raises(ConfigError, match="no feature 'inputs'"):
        open_task_rows(task, "train", LENGTHS)


def test_a_stream_has_no_rows(byte_vocabulary):
    task = add_supervised_task("stream", PAIRS, byte_vocabulary)
    steps = [*task.preprocessors, seqio.preprocessors.append_eos]
    seqio.TaskRegistry.remove("stream")
    task = _registered("stream", task.replace(preprocessors=steps))
    assert open_task_rows(task, "train", LENGTHS) is None


def test_recipes_of_text_fit_the_lengths(byte_vocabulary):
    def recipe(objective, **lengths):
        return text_recipe(objective, byte_vocabulary, lengths)

    both = recipe(SpanCorruption(), inputs=64, targets=20)
    assert both.raw_length == RAW_LENGTH and both.eos == (1, 1)
    assert both == recipe(SpanCorruption(), inputs=64, targets=30)
    alone = recipe(LanguageModel(), targets=20)
    assert alone.raw_length == 19 and alone.eos == (None, 1)
    with pytest.raises(ConfigError, match="inputs of 64 need targets of"):
        recipe(SpanCorruption(), inputs=64, targets=5)
    with pytest.raises(ConfigError, match="need 103 sentinels.*vocabulary has 100"):
        recipe(SpanCorruption(), inputs=1856, targets=500)


def test_lengths_are_of_both_features_or_of_targets():
    assert check_lengths((("inputs", 3), ("targets", 2))) == {"inputs": 3, "targets": 2}
    assert check_lengths({"targets": 2}) == {"targets": 2}
    for wrong in ({"inputs": 3}, {"inputs": 3, "targets": 3, "other": 3}):
        with pytest.raises(ConfigError, match="needed: 'inputs' and 'targets', or"):
            check_lengths(wrong)
    with pytest.raises(ConfigError, match="for each key a whole number from 2"):
        check_lengths({"targets": 1})


def test_a_task_has_one_vocabulary(byte_vocabulary):
    task = add_supervised_task("two", PAIRS, byte_vocabulary)
    assert task_vocabulary(task) is byte_vocabulary
    other = seqio.Feature(seqio.ByteVocabulary(extra_ids=3))
    mixed = task.replace(output_features={**task.output_features, "inputs": other})
    with pytest.raises(ConfigError, match="for inputs and targets"):
        task_vocabulary(mixed)
