"""Random cuts of many sequences at once, every way of cutting one equally likely.

Legend: R sequences, P picks (one less than the most segments of a sequence).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Int64Array = npt.NDArray[np.int64]
UInt64Array = npt.NDArray[np.uint64]

_HALF = np.uint64(32)


def random_segments(
    items_R: Int64Array, segments_R: Int64Array, words_PR: UInt64Array
) -> Int64Array:
    """Cuts each sequence into non-empty segments.

    Which items end a segment is a uniform choice of `segments - 1` of the first
    `items - 1`, made by Floyd's method, one pick of all sequences at a time (Bentley
    and Floyd 1987, "Programming pearls: a sample of brilliance"). How a sequence is
    cut is a function of its two counts and of its own words.

    Args:
      items_R: items of each sequence, 1 and more.
      segments_R: segments of each, from 1 to its items.
      words_PR: random bits; sequence r uses the first `segments_R[r] - 1` of its own.

    Returns:
      int64 [sum(segments_R)], the lengths of the segments of all sequences in order.
    """
    picks_R = segments_R - 1
    starts_R = np.cumsum(items_R) - items_R
    num_items = int(items_R.sum())
    # Place `num_items` takes the picks of sequences that need no more of them.
    ends_segment = np.zeros(num_items + 1, np.bool_)
    ends_segment[starts_R + items_R - 1] = True
    pick_P1 = np.arange(len(words_PR))[:, None]
    newest_PR = items_R - segments_R + pick_P1
    over_PR = pick_P1 >= picks_R
    drawn_PR = np.where(over_PR, num_items, starts_R + uniform(words_PR, newest_PR + 1))
    newest_PR = np.where(over_PR, num_items, starts_R + newest_PR)
    for drawn_R, newest_R in zip(drawn_PR, newest_PR, strict=True):
        ends_segment[np.where(ends_segment[drawn_R], newest_R, drawn_R)] = True
    return np.diff(np.flatnonzero(ends_segment[:-1]), prepend=-1)


def uniform(words: UInt64Array, limits: npt.ArrayLike) -> Int64Array:
    """Returns integers from 0 to `limits - 1`, of the upper 32 bits of random words.

    A value's chance is off by less than one in 2^32; limits are below 2^31.
    """
    scaled = (words >> _HALF) * np.asarray(limits).astype(np.uint64)
    return (scaled >> _HALF).astype(np.int64)
