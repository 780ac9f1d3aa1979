"""First fit with a bounded number of open bins, for many independent blocks at once.

Each block is a sequence of examples; each bin becomes one row of a batch. An example
goes whole into one bin, so nothing is split or lost, and no bin holds examples of two
blocks.

Legend: B blocks, N examples of a block, F features, O open bins.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mtmoe.data.ground.token_rows import Int32Array, Int64Array

UNEVENNESS_STEPS = 8
"""Classes of how unevenly full the two features of a bin are. One class would be plain
first fit, which leaves rooms of shapes that few examples have: with inputs of 512 and
targets of 114 it needs 3 % more rows (benchmarks/packing_fill.py)."""

_FITS_NOWHERE = np.iinfo(np.int64).max
_BIN_BITS = 32  # of a key; the class of unevenness is above them


def first_fit(
    sizes_BNF: npt.NDArray[np.integer], capacity_F: Sequence[int], open_bins: int
) -> tuple[Int32Array, Int32Array]:
    """Packs the examples of each block in their order.

    Of the open bins in which every feature fits, an example goes into the one that was
    opened first (first fit; Johnson 1974, "Fast algorithms for bin packing") among
    those that it leaves most evenly full: the free fractions of the two features differ
    by the fewest whole eighths. With one feature that is plain first fit.

    If none fits, it opens a bin; if `open_bins` are open then, the one that is fullest
    in its fullest feature, and among equals the oldest, is closed for good (bounded
    space; Csirik and Johnson 2001, "Bounded space on-line bin packing").

    Args:
      sizes_BNF: tokens of each feature of each example; one feature or two. An example
        of which every feature is 0 goes into no bin.
      capacity_F: tokens of each feature that a bin takes.
      open_bins: O, how many bins of a block are open at a time.

    Returns:
      bins_BN: int32, the bin of each example, numbered from 0 within a block in the
        order of their opening; -1 for an example without tokens.
      num_bins_B: int32, bins of each block.

    Raises:
      ValueError: an example larger than a bin, fewer than one open bin, or more than
        two features.
    """
    _check(sizes_BNF, capacity_F, open_bins)
    num_blocks, num_examples, _ = sizes_BNF.shape
    # Both features are counted in parts of a bin, so that equal numbers are as full.
    full = math.lcm(*capacity_F, UNEVENNESS_STEPS)
    first_NB, last_NB = (
        np.ascontiguousarray(sizes_BNF[:, :, feature].T, np.int64)
        * (full // capacity_F[feature])
        for feature in (0, -1)
    )
    any_NB = (first_NB > 0) | (last_NB > 0)
    # The room of a place with no bin yet is -1: nothing fits, and it is taken first.
    first_BO, last_BO = np.full((2, num_blocks, open_bins), -1, np.int64)
    bin_BO = np.zeros((num_blocks, open_bins), np.int64)
    num_bins_B = np.zeros(num_blocks, np.int64)
    bins_NB = np.empty((num_examples, num_blocks), np.int64)
    each_B = np.arange(num_blocks)
    for first_B, last_B, any_B, bins_B in zip(
        first_NB, last_NB, any_NB, bins_NB, strict=True
    ):
        left_BO = first_BO - first_B[:, None]
        left_last_BO = last_BO - last_B[:, None]
        fits_BO = (left_BO | left_last_BO) >= 0
        uneven_BO = np.abs(left_BO - left_last_BO) // (full // UNEVENNESS_STEPS)
        key_BO = np.where(fits_BO, (uneven_BO << _BIN_BITS) + bin_BO, _FITS_NOWHERE)
        place_B = key_BO.argmin(axis=1)
        new = np.flatnonzero((key_BO[each_B, place_B] == _FITS_NOWHERE) & any_B)
        if new.size:
            place_B[new] = place = _place_to_open(first_BO, last_BO, bin_BO, new)
            first_BO[new, place] = last_BO[new, place] = full
            bin_BO[new, place] = num_bins_B[new]
            num_bins_B[new] += 1
        first_BO[each_B, place_B] -= first_B
        last_BO[each_B, place_B] -= last_B
        bins_B[:] = bin_BO[each_B, place_B]
    bins_NB[~any_NB] = -1
    return bins_NB.T.astype(np.int32), num_bins_B.astype(np.int32)


def _place_to_open(
    first_BO: Int64Array, last_BO: Int64Array, bin_BO: Int64Array, blocks: Int64Array
) -> Int64Array:
    """Returns where some blocks open a bin: a free place, or the fullest bin's."""
    room = np.minimum(first_BO[blocks], last_BO[blocks])
    least = room == room.min(axis=1, keepdims=True)
    return np.argmin(np.where(least, bin_BO[blocks], _FITS_NOWHERE), axis=1)


def _check(
    sizes_BNF: npt.NDArray[np.integer], capacity_F: Sequence[int], open_bins: int
) -> None:
    if open_bins < 1:
        raise ValueError(f"open_bins is {open_bins}; needed: 1 or more")
    if len(capacity_F) not in (1, 2) or sizes_BNF.shape[2] != len(capacity_F):
        raise ValueError(
            f"sizes {sizes_BNF.shape} and capacity {list(capacity_F)}: needed one "
            "feature or two"
        )
    if np.any(sizes_BNF > capacity_F) or np.any(sizes_BNF < 0):
        raise ValueError(f"an example does not fit into a bin of {list(capacity_F)}")
