"""Masks made into inputs and targets: t5's own functions row by row are the oracle."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from mtmoe.data.ground.token_rows import TokenRows, join_rows, row_bounds
from mtmoe.data.objectives.denoising import keep, spans_to_sentinels

VOCAB_SIZE = 1000
_MASKS = st.lists(st.lists(st.booleans(), max_size=12), max_size=6)


def _rows(masks: list[list[bool]]) -> TokenRows:
    bounds = row_bounds([len(mask) for mask in masks])
    return TokenRows(np.arange(3, 3 + bounds[-1], dtype=np.int32), bounds)


def _flat(masks: list[list[bool]]) -> np.ndarray:
    return np.array([noise for mask in masks for noise in mask], np.bool_)


def _assert_rows(ours: TokenRows, expected: list[np.ndarray]) -> None:
    joined = join_rows(expected)
    assert ours.tokens.dtype == np.int32 and ours.bounds.dtype == np.int64
    np.testing.assert_array_equal(ours.tokens, joined.tokens)
    np.testing.assert_array_equal(ours.bounds, joined.bounds)


@settings(max_examples=20, deadline=None)
@given(masks=_MASKS)
def test_any_mask_is_written_as_t5_writes_it(masks):
    from t5.data import preprocessors

    rows, noise = _rows(masks), _flat(masks)
    pairs = (
        (preprocessors.noise_span_to_unique_sentinel, noise),
        (preprocessors.nonnoise_span_to_unique_sentinel, ~noise),
    )
    vocabulary = SimpleNamespace(vocab_size=VOCAB_SIZE)
    for theirs, marked in pairs:
        expected = [
            theirs(
                tf.constant(rows.tokens[begin:end]),
                tf.constant(noise[begin:end]),
                vocabulary,
                seeds=None,
            ).numpy()
            for begin, end in zip(rows.bounds, rows.bounds[1:], strict=False)
        ]
        _assert_rows(spans_to_sentinels(rows, marked, VOCAB_SIZE), expected)


@given(masks=_MASKS)
def test_kept_tokens_stay_in_their_rows(masks):
    rows, kept = _rows(masks), _flat(masks)
    expected = [
        rows.tokens[begin:end][kept[begin:end]]
        for begin, end in zip(rows.bounds, rows.bounds[1:], strict=False)
    ]
    _assert_rows(keep(rows, kept), expected)
