"""Rows of tokens in one array: cut, joined, stacked and padded."""

from __future__ import annotations

import numpy as np
import pytest

from mtmoe.data.ground.token_rows import cut_rows, join_rows, padded_sizes, stack_rows


def test_rows_are_padded_and_empty_ones_are_padding():
    rows = join_rows([[5, 0, 7], [], [8]])
    assert rows.padded(4).tolist() == [[5, 0, 7, 0], [0, 0, 0, 0], [8, 0, 0, 0]]
    assert rows.padded(3).dtype == np.int32
    assert join_rows([[], []]).padded(2).tolist() == [[0, 0], [0, 0]]
    assert join_rows([]).padded(2).shape == (0, 2)
    with pytest.raises(ValueError, match="row of 3 tokens is wider than 2"):
        rows.padded(2)


def test_padded_rows_have_the_sizes_they_had():
    padded = join_rows([[5, 0, 7], [], [8]]).padded(4)
    assert padded_sizes(padded).tolist() == [3, 0, 1], "token 0 inside is a token"
    assert padded_sizes(padded[0]) == 3
    assert padded_sizes(padded[:, :0]).tolist() == [0, 0, 0]


def test_a_stream_is_cut_and_a_short_tail_is_kept_if_it_is_long_enough():
    tokens = np.arange(10, dtype=np.int32)
    assert cut_rows(tokens, 4, min_tail=3).bounds.tolist() == [0, 4, 8]
    assert cut_rows(tokens, 4, min_tail=2).bounds.tolist() == [0, 4, 8, 10]
    assert cut_rows(tokens, 40, min_tail=20).bounds.tolist() == [0, 10], "the only one"


def test_stacked_rows_are_those_of_all_parts_in_order():
    parts = [join_rows([[1, 2], []]), join_rows([[3]]), join_rows([])]
    stacked = stack_rows(parts)
    assert stacked.tokens.tolist() == [1, 2, 3]
    assert stacked.bounds.tolist() == [0, 2, 2, 3]
