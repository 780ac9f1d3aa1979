"""First fit in lockstep, against a plain one that packs one example after the other."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtmoe.data.schedule.packing import UNEVENNESS_STEPS, first_fit


def plain_first_fit(examples, capacity, open_bins):
    """Returns the bin of each example."""
    rooms, open_now, chosen = [], [], []

    def free(room):
        return [Fraction(r, c) for r, c in zip(room, capacity, strict=True)]

    def unevenness(bin_number, example):
        left = np.subtract(rooms[bin_number], example).tolist()
        fractions = free(left)
        return int(abs(fractions[0] - fractions[-1]) * UNEVENNESS_STEPS)

    for example in examples:
        if not any(example):
            chosen.append(-1)
            continue
        fitting = [
            number
            for number in open_now
            if all(r >= s for r, s in zip(rooms[number], example, strict=True))
        ]
        if fitting:
            number = min(fitting, key=lambda n: (unevenness(n, example), n))
        else:
            if len(open_now) == open_bins:
                open_now.remove(min(open_now, key=lambda n: (min(free(rooms[n])), n)))
            number = len(rooms)
            rooms.append(list(capacity))
            open_now.append(number)
        rooms[number] = np.subtract(rooms[number], example).tolist()
        chosen.append(number)
    return chosen


@st.composite
def blocks(draw):
    """Blocks of examples, among them empty, full and one-sided ones."""
    capacity = draw(st.lists(st.integers(1, 40), min_size=1, max_size=2))
    shape = (draw(st.integers(1, 4)), draw(st.integers(1, 60)), len(capacity))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    sizes = rng.integers(0, np.array(capacity) + 1, shape)
    shrink = rng.random((*shape[:2], 1)) < draw(st.floats(0, 1))
    return np.where(shrink, sizes // 4, sizes).astype(np.int32), capacity


@settings(deadline=None, max_examples=150)
@given(blocks=blocks(), open_bins=st.integers(1, 6))
def test_every_bin_is_that_of_a_plain_first_fit(blocks, open_bins):
    sizes, capacity = blocks
    bins, num_bins = first_fit(sizes, capacity, open_bins)
    for block in range(len(sizes)):
        expected = plain_first_fit(sizes[block].tolist(), capacity, open_bins)
        assert bins[block].tolist() == expected
        assert num_bins[block] == max(expected) + 1


@settings(deadline=None, max_examples=150)
@given(blocks=blocks(), open_bins=st.integers(1, 6))
def test_nothing_is_lost_or_split_and_no_bin_overflows(blocks, open_bins):
    sizes, capacity = blocks
    bins, num_bins = first_fit(sizes, capacity, open_bins)
    for block in range(len(sizes)):
        held = bins[block] >= 0
        assert np.array_equal(held, sizes[block].any(axis=1))
        used = np.zeros((num_bins[block], len(capacity)), np.int64)
        np.add.at(used, bins[block][held], sizes[block][held])
        assert np.all(used <= capacity), "no overlap"
        assert np.array_equal(used.sum(0), sizes[block].sum(0)), "all tokens kept"
        assert np.all(used.any(axis=1)), "no bin is empty"
        opened = [int(np.argmax(bins[block] == n)) for n in range(num_bins[block])]
        assert opened == sorted(opened), "bins are numbered as they open"


@settings(deadline=None, max_examples=60)
@given(blocks=blocks(), open_bins=st.integers(1, 6))
def test_no_more_bins_are_used_after_each_other_than_may_be_open(blocks, open_bins):
    sizes, capacity = blocks
    bins, num_bins = first_fit(sizes, capacity, open_bins)
    for block, count in enumerate(num_bins):
        first = [np.flatnonzero(bins[block] == n)[0] for n in range(count)]
        last = [np.flatnonzero(bins[block] == n)[-1] for n in range(count)]
        for place in range(sizes.shape[1]):
            in_use = sum(f <= place <= e for f, e in zip(first, last, strict=True))
            assert in_use <= open_bins


def test_blocks_do_not_know_of_each_other():
    rng = np.random.default_rng(0)
    sizes = rng.integers(0, 40, (5, 200, 2))
    together, counts = first_fit(sizes, [64, 48], 4)
    for block in range(5):
        alone, count = first_fit(sizes[block : block + 1], [64, 48], 4)
        assert np.array_equal(alone[0], together[block]) and count[0] == counts[block]


def test_the_most_even_bin_the_oldest_and_the_fullest():
    def of(examples, open_bins, capacity=(8, 8)):
        return first_fit(np.array([examples]), capacity, open_bins)[0][0].tolist()

    # The second bin would be left even by (1, 4), the first more uneven than it is.
    assert of([(4, 5), (5, 2), (1, 4)], 2) == [0, 1, 1]
    assert of([(4, 4), (5, 5), (1, 1)], 2) == [0, 1, 0], "equals: the oldest"
    # (7, 1) is fullest in its fullest feature, so it is closed; (1, 7) then opens one.
    assert of([(5, 5), (7, 1), (6, 6), (1, 7), (1, 1)], 2) == [0, 1, 2, 3, 0]
    assert of([(3,), (6,), (5,), (2,)], 2, (8,)) == [0, 1, 0, 1], "one feature"


def test_a_far_away_capacity_does_not_overflow():
    big = 2**30
    bins, _ = first_fit(np.array([[[big, big], [1, 0], [0, 0]]]), [big, big], 3)
    assert bins.tolist() == [[0, 1, -1]]


@pytest.mark.parametrize(
    ("size", "capacity", "open_bins"),
    [((9, 1), (8, 8), 1), ((-1, 1), (8, 8), 1), ((1, 1), (8, 8), 0), ((1,), (8, 8), 1)],
)
def test_what_cannot_be_packed_is_an_error(size, capacity, open_bins):
    with pytest.raises(ValueError, match=r"does not fit|open_bins|one feature or two"):
        first_fit(np.array([[size]]), capacity, open_bins)
