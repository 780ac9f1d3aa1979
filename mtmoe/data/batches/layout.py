"""Puts examples into the rows of a batch: inputs and targets apart, or in one piece.

Legend: N examples, by row and along a row by segment; R rows, L places of a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mtmoe.data.batches.mixture_rows import Group
from mtmoe.data.ground.token_rows import Int64Array, TokenRows
from mtmoe.data.rows.cached import Lengths


class Canvas:
    """R rows of L places that tokens of examples are put on.

    Attributes:
      tokens_RL: int32, 0 at padding.
      segments_RL: int32, 0 at padding, else the segment of the token.
    """

    def __init__(self, num_rows: int, length: int):
        self.tokens_RL = np.zeros((num_rows, length), np.int32)
        self.segments_RL = np.zeros((num_rows, length), np.int32)

    def put(
        self,
        rows: TokenRows,
        row_M: Int64Array,
        offset_M: Int64Array,
        segment_M: Int64Array,
    ) -> Int64Array:
        """Puts M stretches of tokens at their places, each of one segment.

        Args:
          rows: the tokens.
          row_M: row of each stretch.
          offset_M: place of its first token in the row.
          segment_M: its segment.

        Returns:
          int64, the places of all tokens in the flattened rows.

        Raises:
          ValueError: a stretch reaches beyond the end of its row.
        """
        length = self.tokens_RL.shape[1]
        sizes_M = np.diff(rows.bounds)
        if np.any(offset_M + sizes_M > length):
            most = int(np.max(offset_M + sizes_M))
            raise ValueError(f"{most} tokens in a row of {length}")
        moved_M = row_M * length + offset_M - rows.bounds[:-1]
        places = np.repeat(moved_M, sizes_M)
        places += np.arange(rows.bounds[0], rows.bounds[-1])
        self.tokens_RL.reshape(-1)[places] = rows.tokens
        self.segments_RL.reshape(-1)[places] = np.repeat(segment_M, sizes_M)
        return places


def lay_out(
    groups: Sequence[Group],
    row_N: Int64Array,
    segment_N: Int64Array,
    num_rows: int,
    lengths: Lengths,
) -> dict[str, npt.NDArray[Any]]:
    """Lays out examples, each behind the one of the segment before.

    Args:
      groups: all examples.
      row_N: row of each, from 0.
      segment_N: its segment, from 1.
      num_rows: R.
      lengths: places of a row for `inputs` and for `targets`. Without `inputs` an
        example's targets stand directly behind its inputs.

    Returns:
      The features of a `Batch`.
    """
    canvases = {name: Canvas(num_rows, length) for name, length in lengths.items()}
    targets = canvases["targets"]
    inputs = canvases.get("inputs", targets)
    is_joined = inputs is targets
    sizes_N2 = _sizes(groups, len(row_N))
    if is_joined:
        begin_N1 = _offsets(sizes_N2.sum(axis=1, keepdims=True), row_N)
        offsets_N2 = np.hstack([begin_N1, begin_N1 + sizes_N2[:, :1]])
    else:
        offsets_N2 = _offsets(sizes_N2, row_N)
    is_input_RL = np.zeros(inputs.tokens_RL.shape, np.int32)
    for places, examples in groups:
        row_M, segment_M = row_N[places], segment_N[places]
        offsets_M2 = offsets_N2[places]
        filled = inputs.put(examples.inputs, row_M, offsets_M2[:, 0], segment_M)
        if is_joined:
            is_input_RL.reshape(-1)[filled] = 1
        targets.put(examples.targets, row_M, offsets_M2[:, 1], segment_M)
    features: dict[str, npt.NDArray[Any]] = {}
    for name, canvas in canvases.items():
        features[name] = canvas.tokens_RL
        features[f"{name}_segments"] = canvas.segments_RL
    if is_joined:
        is_target_RL = (targets.segments_RL > 0) & (is_input_RL == 0)
        features["targets_prefix"] = is_input_RL
        features["targets_loss_weights"] = is_target_RL.astype(np.float32)
    return features


def _sizes(groups: Sequence[Group], count: int) -> Int64Array:
    sizes_N2 = np.zeros((count, 2), np.int64)
    for places, examples in groups:
        sizes_N2[places, 0] = np.diff(examples.inputs.bounds)
        sizes_N2[places, 1] = np.diff(examples.targets.bounds)
    return sizes_N2


def _offsets(sizes_NF: Int64Array, row_N: Int64Array) -> Int64Array:
    """Returns how many tokens of the same row stand before each example."""
    before_NF = np.cumsum(sizes_NF, axis=0) - sizes_NF
    first_N = np.searchsorted(row_N, row_N)
    return before_NF - before_NF[first_N]
