"""What a training batch is, for an encoder-decoder and for a decoder alone.

Legend: B rows that are built here, L inputs length (or any length), T targets length,
S most segments of a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Int32Array = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Batch:
    """One training batch, or some rows of it.

    An example is a segment of a row: its inputs lie where `inputs_segments` has its
    number, its targets where `targets_segments` has it. Padding is where that is 0.

    Attributes:
      inputs: int32 [B, L], 0 at padding.
      targets: int32 [B, T], 0 at padding.
      inputs_segments: int32 [B, L]: 0 at padding, else 1, 2, ... along a row.
      targets_segments: int32 [B, T], likewise.
      segment_task: int32 [B, S]: number in `TrainingBatches.task_names` of the task of
        segment s + 1; -1 where the row has no such segment.
      bad_rows: examples left empty because their record is damaged, by task; tasks
        without one are not in it. Of counted rows alone.
      counted: bool [B], the rows that are counted here; None: all. Where several
        processes hold a row, one counts it.
    """

    inputs: Int32Array
    targets: Int32Array
    inputs_segments: Int32Array
    targets_segments: Int32Array
    segment_task: Int32Array
    bad_rows: Mapping[str, int]
    counted: npt.NDArray[np.bool_] | None = None

    @property
    def inputs_positions(self) -> Int32Array:
        """Place of each token in its segment, int32 [B, L]; 0 at padding."""
        return segment_positions(self.inputs_segments)

    @property
    def targets_positions(self) -> Int32Array:
        """Place of each token in its segment, int32 [B, T]; 0 at padding."""
        return segment_positions(self.targets_segments)

    @property
    def inputs_task(self) -> Int32Array:
        """Number of the task of each token, int32 [B, L]; -1 at padding."""
        return segment_values(self.inputs_segments, self.segment_task)

    @property
    def targets_task(self) -> Int32Array:
        """Number of the task of each token, int32 [B, T]; -1 at padding."""
        return segment_values(self.targets_segments, self.segment_task)

    @property
    def num_tokens(self) -> int:
        """Inputs and targets without padding, of counted rows."""
        segments = (self.inputs_segments, self.targets_segments)
        return sum(_num_tokens(part, self.counted) for part in segments)

    @property
    def num_places(self) -> int:
        """Inputs and targets, padding included, of counted rows."""
        length = self.inputs.shape[1] + self.targets.shape[1]
        return length * _num_rows(self.inputs, self.counted)

    @property
    def padding_fraction(self) -> float:
        """Fraction of the places of counted rows that hold padding."""
        return padding_fraction(self.num_tokens, self.num_places)


@dataclass(frozen=True)
class DecoderBatch:
    """One training batch for a decoder alone, or some rows of it.

    A segment is an example's inputs and behind them its targets.

    Attributes:
      tokens: int32 [B, T], 0 at padding.
      segments: int32 [B, T]: 0 at padding, else 1, 2, ... along a row.
      segment_task: int32 [B, S], as in `Batch`.
      prefix: int32 [B, T]: 1 on a segment's inputs, which may be seen from all of them.
      loss_weights: float32 [B, T]: 1 on a segment's targets and their EOS.
      bad_rows: as in `Batch`.
      counted: as in `Batch`.
    """

    tokens: Int32Array
    segments: Int32Array
    segment_task: Int32Array
    prefix: Int32Array
    loss_weights: npt.NDArray[np.float32]
    bad_rows: Mapping[str, int]
    counted: npt.NDArray[np.bool_] | None = None

    @property
    def positions(self) -> Int32Array:
        """Place of each token in its segment, int32 [B, T]; 0 at padding."""
        return segment_positions(self.segments)

    @property
    def token_task(self) -> Int32Array:
        """Number of the task of each token, int32 [B, T]; -1 at padding."""
        return segment_values(self.segments, self.segment_task)

    @property
    def num_tokens(self) -> int:
        """Inputs and targets without padding, of counted rows."""
        return _num_tokens(self.segments, self.counted)

    @property
    def num_places(self) -> int:
        """Places, padding included, of counted rows."""
        return self.tokens.shape[1] * _num_rows(self.tokens, self.counted)

    @property
    def padding_fraction(self) -> float:
        """Fraction of the places of counted rows that hold padding."""
        return padding_fraction(self.num_tokens, self.num_places)


def segment_positions(segments_BL: Int32Array) -> Int32Array:
    """Returns each token's place in its segment.

    Args:
      segments_BL: 0 at padding, else 1, 2, ...; each segment lies in one piece.

    Returns:
      int32 [B, L], from 0 in every segment; 0 at padding.
    """
    places_L = np.arange(segments_BL.shape[1], dtype=np.int32)
    begins_BL = np.zeros(segments_BL.shape, bool)
    begins_BL[:, 1:] = segments_BL[:, 1:] != segments_BL[:, :-1]
    first_BL = np.maximum.accumulate(np.where(begins_BL, places_L, 0), axis=1)
    positions_BL = np.where(segments_BL > 0, places_L - first_BL, 0)
    return positions_BL.astype(np.int32)


def segment_values(segments_BL: Int32Array, values_BS: Int32Array) -> Int32Array:
    """Returns for each token its segment's value.

    Args:
      segments_BL: 0 at padding, else 1, 2, ..., at most S.
      values_BS: the value of segment s + 1.

    Returns:
      int32 [B, L]; -1 at padding.
    """
    values_BL = np.take_along_axis(values_BS, np.maximum(segments_BL - 1, 0), axis=1)
    return np.where(segments_BL > 0, values_BL, -1).astype(np.int32)


def padding_fraction(num_tokens: int, num_places: int) -> float:
    """Returns the fraction of places that hold padding; 0 of no place."""
    return 1.0 - num_tokens / num_places if num_places else 0.0


def _num_tokens(
    segments_BL: Int32Array, counted_B: npt.NDArray[np.bool_] | None
) -> int:
    counted = segments_BL if counted_B is None else segments_BL[counted_B]
    return int(np.count_nonzero(counted))


def _num_rows(array_BL: Int32Array, counted_B: npt.NDArray[np.bool_] | None) -> int:
    return len(array_BL) if counted_B is None else int(np.count_nonzero(counted_B))
