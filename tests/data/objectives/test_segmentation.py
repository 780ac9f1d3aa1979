"""Random cuts: valid, uniform over all of them, independent of their neighbours."""

from __future__ import annotations

import itertools
import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mtmoe.data.ground.keys import fold
from mtmoe.data.objectives.segmentation import random_segments, uniform

_COUNTS = st.integers(1, 60).flatmap(
    lambda items: st.tuples(st.just(items), st.integers(1, items))
)


def _words(key: int, sequences: int, picks: int) -> np.ndarray:
    return fold(key, np.arange(sequences), np.arange(picks)[:, None])


@settings(max_examples=40, deadline=None)
@given(counts=st.lists(_COUNTS, min_size=1, max_size=8), key=st.integers(0, 2**63))
def test_segments_are_not_empty_and_add_up_whatever_the_neighbours(counts, key):
    items, segments = np.array(counts).T
    words = _words(key, len(counts), segments.max() - 1)
    lengths = np.split(
        random_segments(items, segments, words), np.cumsum(segments)[:-1]
    )
    assert [part.sum() for part in lengths] == items.tolist()
    assert [len(part) for part in lengths] == segments.tolist()
    assert min(part.min() for part in lengths) >= 1
    for row, part in enumerate(lengths):
        one = slice(row, row + 1)
        own = words[: segments[row] - 1, one]
        np.testing.assert_array_equal(
            random_segments(items[one], segments[one], own), part
        )


def test_every_composition_is_equally_likely():
    items, segments, count = 9, 4, 40_000
    lengths = random_segments(
        np.full(count, items), np.full(count, segments), _words(3, count, segments - 1)
    ).reshape(count, segments)
    cuts = np.cumsum(lengths, axis=1)[:, :-1]
    seen = {cut: 0 for cut in itertools.combinations(range(1, items), segments - 1)}
    assert len(seen) == math.comb(8, 3) == 56
    for cut in map(tuple, cuts.tolist()):
        seen[cut] += 1
    expected = count / len(seen)
    chi_square = sum((n - expected) ** 2 / expected for n in seen.values())
    assert chi_square < 93.2, "p = 0.001 at 55 degrees of freedom"


def test_no_sequences_and_no_picks():
    none = np.zeros(0, np.int64)
    assert random_segments(none, none, np.zeros((0, 0), np.uint64)).size == 0
    whole = random_segments(np.array([5, 1]), np.array([1, 1]), _words(0, 2, 0))
    assert whole.tolist() == [5, 1]


def test_uniform_integers_are_below_their_limits_and_even():
    words = fold(5, np.arange(60_000))
    drawn = uniform(words, np.tile([1, 6, 7], 20_000)).reshape(-1, 3)
    assert (drawn[:, 0] == 0).all()
    for column, limit in ((1, 6), (2, 7)):
        counts = np.bincount(drawn[:, column], minlength=limit)
        assert len(counts) == limit
        expected = 20_000 / limit
        assert ((counts - expected) ** 2 / expected).sum() < 22.5, "p = 0.001, 6 df"
    assert uniform(np.array([2**64 - 1], np.uint64), 10).tolist() == [9]
