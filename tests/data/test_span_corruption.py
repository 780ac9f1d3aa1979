"""Span corruption against its invariants, written in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import seqio
from fake_tasks import features
from hypothesis import given, settings
from hypothesis import strategies as st

from mtmoe.data.keys import fold, seed_pairs
from mtmoe.data.objectives.corruption import corruption
from mtmoe.data.objectives.objective import TokenObjective
from mtmoe.data.objectives.span_corruption import SpanCorruption
from mtmoe.errors import ConfigError

VOCAB_SIZE, EOS = 1000, 1
FIRST_SENTINEL = 900


def _unpad(row: np.ndarray) -> list[int]:
    """Tokens before EOS; everything behind it must be padding."""
    end = row.tolist().index(EOS)
    assert not row[end + 1 :].any()
    return row[:end].tolist()


def _interleave(inputs: list[int], targets: list[int]) -> tuple[list[int], list[int]]:
    """Returns the text the two sides spell, and its sentinels in order."""
    spans: dict[int, list[int]] = {}
    for token in targets:
        if token >= FIRST_SENTINEL:
            span = spans.setdefault(token, [])
        else:
            span.append(token)
    text, sentinels = [], []
    for token in inputs:
        if token >= FIRST_SENTINEL:
            sentinels.append(token)
            text.extend(spans[token])
        else:
            text.append(token)
    # T5's targets end with the sentinel of the text behind the last span, if any.
    assert [t for t in targets if t >= FIRST_SENTINEL][: len(sentinels)] == sentinels
    return text, sentinels


@pytest.fixture(scope="module")
def corrupt_512():
    return corruption(SpanCorruption(), VOCAB_SIZE, EOS, 512, 114)


def _rows(sizes: list[int], width: int, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).integers(3, 800, (len(sizes), width))
    return np.where(np.arange(width) < np.array(sizes)[:, None], rows, 0).astype(
        np.int32
    )


def test_full_rows_fill_the_lengths_and_spell_the_text(corrupt_512):
    rows = _rows([568] * 64, 568)
    seeds = seed_pairs(fold(7, np.arange(64)))
    inputs, targets = corrupt_512(rows, np.full(64, 568, np.int32), seeds)
    assert inputs.shape == (64, 512) and targets.shape == (64, 114)
    assert inputs.dtype == targets.dtype == np.int32
    assert (inputs != 0).all() and (targets != 0).all(), "no padding in full rows"
    spans: list[int] = []
    for row, row_inputs, row_targets in zip(rows, inputs, targets, strict=True):
        text, sentinels = _interleave(_unpad(row_inputs), _unpad(row_targets))
        assert text == row.tolist()
        assert sentinels == [VOCAB_SIZE - 1 - i for i in range(28)]
        noise = [t for t in _unpad(row_targets) if t < FIRST_SENTINEL]
        assert len(noise) == round(0.15 * 568)
        marks = [i for i, t in enumerate(row_targets) if t >= FIRST_SENTINEL]
        spans.extend(np.diff([*marks, len(noise) + len(marks)]) - 1)
    assert min(spans) >= 1 and abs(np.mean(spans) - 3.0) < 0.1
    assert len({tuple(row) for row in inputs.tolist()}) == 64


@settings(deadline=None, max_examples=50)
@given(sizes=st.lists(st.integers(1, 568), min_size=1, max_size=5), key=st.integers())
def test_rows_of_any_size_spell_their_text(corrupt_512, sizes, key):
    rows = _rows(sizes, 568, seed=abs(key) % 1000)
    seeds = seed_pairs(fold(abs(key) % 2**63, np.arange(len(sizes))))
    inputs, targets = corrupt_512(rows, np.array(sizes, np.int32), seeds)
    for size, row, row_inputs, row_targets in zip(
        sizes, rows, inputs, targets, strict=True
    ):
        text, sentinels = _interleave(_unpad(row_inputs), _unpad(row_targets))
        assert text == row[:size].tolist()
        assert len(sentinels) <= SpanCorruption().num_sentinels(size)


def test_noise_depends_on_the_seed_alone_and_masks_every_place_alike(corrupt_512):
    rows = np.tile(np.arange(3, 571, dtype=np.int32), (512, 1))
    sizes = np.full(512, 568, np.int32)
    seeds = seed_pairs(fold(3, np.arange(512)))
    inputs, _ = corrupt_512(rows, sizes, seeds)
    alone, _ = corrupt_512(rows[:1], sizes[:1], seeds[300:301])
    np.testing.assert_array_equal(alone[0], inputs[300])
    kept = np.zeros(568)
    for row in inputs:
        kept += np.isin(rows[0], row)
    noise_by_quarter = 1 - kept.reshape(4, -1).mean(axis=1) / 512
    np.testing.assert_allclose(noise_by_quarter, 0.15, atol=0.02)


@pytest.mark.parametrize(
    ("inputs_length", "expected"), [(512, (568, 114)), (1024, (1137, 229))]
)
def test_lengths_are_those_of_t5(inputs_length, expected):
    assert SpanCorruption().lengths(inputs_length) == expected


@settings(deadline=None, max_examples=60)
@given(
    inputs_length=st.integers(4, 300),
    noise_density=st.sampled_from([0.15, 0.25, 0.5]),
    mean=st.sampled_from([1.0, 3.0, 8.0]),
)
def test_lengths_are_filled_exactly_and_never_exceeded(
    inputs_length, noise_density, mean
):
    objective = SpanCorruption(noise_density, mean)
    raw_length, targets_length = objective.lengths(inputs_length)
    tokens = np.arange(3, 3 + raw_length, dtype=np.int32)
    inputs, targets = objective.corrupt(tokens, np.array([1, 2], np.int32), 2000)
    assert len(targets) + 1 == targets_length
    assert inputs_length - 2 <= len(inputs) + 1 <= inputs_length
    assert objective.num_sentinels(raw_length) == np.sum(inputs >= 1000)


def test_lengths_follow_the_mask_where_t5s_helper_rounds_otherwise():
    from t5.data import preprocessors

    helper = preprocessors.random_spans_helper(172, 0.15, 3.0, 1, 1)
    assert helper == (190, 38)
    assert SpanCorruption().lengths(172) == (190, 40)


def test_seqio_runs_the_objective_as_a_preprocessor(byte_vocabulary):
    import tensorflow as tf

    tokens = np.arange(3, 3 + 100, dtype=np.int32)
    dataset = tf.data.Dataset.from_tensors({"targets": tokens, "inputs": tokens[:0]})
    with seqio.map_seed_manager(0):
        corrupted = seqio.add_kwargs_to_transform(
            SpanCorruption(),
            sequence_length={"inputs": 50, "targets": 20},
            output_features=features(byte_vocabulary),
        )(dataset)
    rows = list(corrupted.as_numpy_iterator())
    raw_length, _ = SpanCorruption().lengths(50)
    assert len(rows) == -(-100 // raw_length)
    text = [t for row in rows for t in _spell(row, byte_vocabulary.vocab_size)]
    assert text == tokens.tolist()


def _spell(row, vocab_size):
    shift = VOCAB_SIZE - vocab_size
    both = [np.where(x >= 259, x + shift, x).tolist() for x in row.values()]
    keys = list(row)
    return _interleave(both[keys.index("inputs")], both[keys.index("targets")])[0]


def test_it_is_a_token_objective_and_refuses_impossible_numbers():
    assert isinstance(SpanCorruption(), TokenObjective)
    for density in (0.0, 1.0, -0.1):
        with pytest.raises(ConfigError, match="noise_density"):
            SpanCorruption(noise_density=density)
    with pytest.raises(ConfigError, match="mean_noise_span_length"):
        SpanCorruption(mean_noise_span_length=0.5)
