"""Cached rows become the examples that SeqIO's own steps make of them."""

from __future__ import annotations

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import seqio
import tensorflow as tf

from mtmoe.data.ground.token_rows import TokenRows, join_rows
from mtmoe.data.objectives.language_model import LanguageModel
from mtmoe.data.objectives.prefix_lm import PrefixLM
from mtmoe.data.objectives.span_corruption import SpanCorruption
from mtmoe.data.rows.recipes import ExampleRecipe, RawRows, TextRecipe, stack_raw_rows

VOCABULARY = seqio.ByteVocabulary(extra_ids=100)
EXAMPLES = [
    ([5, 6, 7], [8]),
    ([], [9, 10]),
    (list(range(3, 15)), list(range(20, 30))),
    ([4] * 8, [5] * 6),
    ([4] * 7, [5] * 5),
    ([0, 3, 0], []),
]


def _lists(rows: TokenRows) -> list[list[int]]:
    return [
        rows.tokens[a:b].tolist()
        for a, b in zip(rows.bounds, rows.bounds[1:], strict=False)
    ]


def _raw(examples, bad=()) -> RawRows:
    features = tuple(join_rows(column) for column in zip(*examples, strict=True))
    return RawRows(features, np.isin(np.arange(len(examples)), bad))


def _by_seqio(examples, step, lengths, add_eos):
    """What SeqIO's step and its trimming afterwards make of the examples."""
    features = {
        name: seqio.Feature(VOCABULARY, add_eos=add)
        for name, add in zip(("inputs", "targets"), add_eos, strict=True)
    }
    dataset = tf.data.Dataset.from_generator(
        lambda: ({"inputs": i, "targets": t} for i, t in examples),
        output_signature=dict.fromkeys(features, tf.TensorSpec([None], tf.int32)),
    )
    if step is seqio.preprocessors.append_eos_after_trim:
        dataset = step(dataset, features, lengths)
    elif step is not None:
        dataset = step(dataset, features)
    dataset = seqio.utils.trim_dataset(dataset, lengths, features)
    rows = list(dataset.as_numpy_iterator())
    return tuple([row[name].tolist() for row in rows] for name in features)


@pytest.mark.parametrize("add_eos", [(True, True), (False, True)])
@pytest.mark.parametrize(
    "step",
    [
        None,
        seqio.preprocessors.append_eos,
        seqio.preprocessors.append_eos_after_trim,
    ],
)
def test_examples_are_trimmed_and_ended_as_seqio_does(step, add_eos):
    lengths = {"inputs": 8, "targets": 6}
    eos = tuple(1 if add and step else None for add in add_eos)
    recipe = ExampleRecipe(8, 6, eos, step is seqio.preprocessors.append_eos_after_trim)
    raw = _raw(EXAMPLES)
    made = recipe.make(raw, np.zeros(len(EXAMPLES), np.uint64))
    expected = _by_seqio(EXAMPLES, step, lengths, add_eos)
    assert (_lists(made.inputs), _lists(made.targets)) == expected
    raw_sizes = np.array([[len(i), len(t)] for i, t in EXAMPLES], np.int32)
    made_sizes = np.stack([np.diff(made.inputs.bounds), np.diff(made.targets.bounds)])
    np.testing.assert_array_equal(recipe.sizes(raw_sizes), made_sizes.T)


@hypothesis.given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=1),
    st.integers(2, 30),
    st.tuples(st.sampled_from([None, 1]), st.sampled_from([None, 1])),
    st.booleans(),
)
def test_a_decoder_alone_shares_its_places_between_inputs_and_targets(
    sizes, length, eos, eos_after_trim
):
    recipe = ExampleRecipe(None, length, eos, eos_after_trim)
    examples = [(np.full(i, 7), np.full(t, 8)) for i, t in sizes]
    made = recipe.make(_raw(examples), np.zeros(len(sizes), np.uint64))
    inputs, targets = np.diff(made.inputs.bounds), np.diff(made.targets.bounds)
    raw = np.array(sizes, np.int32)
    np.testing.assert_array_equal(recipe.sizes(raw), np.stack([inputs, targets], 1))
    whole = raw + [end is not None for end in eos]
    fits = whole.sum(1) <= length
    np.testing.assert_array_equal(inputs[fits], whole[fits, 0])
    np.testing.assert_array_equal(targets[fits], whole[fits, 1])
    # What does not fit fills all places, and neither side is squeezed below a half.
    assert np.all((inputs + targets)[~fits] == length)
    assert np.all(inputs >= np.minimum(whole[:, 0], length - length // 2))
    assert np.all(targets >= np.minimum(whole[:, 1], length // 2))
    if eos_after_trim and eos == (1, 1):
        ends = np.concatenate([made.inputs.bounds[1:], made.targets.bounds[1:]])
        tokens = np.concatenate([made.inputs.tokens, made.targets.tokens])
        ends[len(sizes) :] += len(made.inputs.tokens)
        assert np.all(tokens[ends - 1] == 1)


def test_examples_on_damaged_records_have_no_tokens_at_all():
    recipe = ExampleRecipe(8, 6, (1, 1), True)
    examples = [([5, 6], [7]), ([], []), ([8], [9])]
    made = recipe.make(_raw(examples, bad=[1]), np.zeros(3, np.uint64))
    assert _lists(made.inputs) == [[5, 6, 1], [], [8, 1]]
    assert _lists(made.targets) == [[7, 1], [], [9, 1]]
    assert made.bad.tolist() == [False, True, False]


@pytest.mark.parametrize(
    "objective", [SpanCorruption(), PrefixLM(), LanguageModel()], ids=repr
)
@pytest.mark.parametrize("eos", [(1, 1), (None, 1)])
def test_text_is_corrupted_ended_and_as_long_as_foretold(objective, eos):
    recipe = TextRecipe(objective, 60, VOCABULARY.vocab_size, eos)
    rng = np.random.default_rng(0)
    sizes = np.array([60, 60, 0, 17, 1, 60])
    text = join_rows(rng.integers(3, 200, size) for size in sizes)
    bad = sizes == 0
    keys = np.arange(6, dtype=np.uint64)
    made = recipe.make(RawRows((text,), bad), keys)
    corrupted = objective.corrupt(text, keys, VOCABULARY.vocab_size)
    for rows, whole, end in zip(made[:2], corrupted, eos, strict=True):
        behind = [] if end is None else [end]
        assert _lists(rows) == [
            [] if is_bad else row + behind
            for row, is_bad in zip(_lists(whole), bad, strict=True)
        ]
    sound = ~bad
    np.testing.assert_array_equal(
        recipe.sizes(sizes[sound], keys[sound]),
        np.stack([np.diff(rows.bounds)[sound] for rows in made[:2]], axis=1),
    )


def test_rows_of_several_tasks_are_made_as_they_are_alone():
    recipe = TextRecipe(SpanCorruption(), 60, VOCABULARY.vocab_size, (1, 1))
    rng = np.random.default_rng(1)
    parts = [
        RawRows(
            (join_rows(rng.integers(3, 200, 60) for _ in range(n)),), np.zeros(n, bool)
        )
        for n in (3, 1, 5)
    ]
    keys = np.arange(9, dtype=np.uint64)
    together = recipe.make(stack_raw_rows(parts), keys)
    alone = [
        recipe.make(part, keys[first : first + len(part.bad)])
        for part, first in zip(parts, (0, 3, 4), strict=True)
    ]
    for feature in range(2):
        assert _lists(together[feature]) == sum((_lists(x[feature]) for x in alone), [])
