"""What a training batch is.

Legend: B rows that are built here, L places of a feature in a row, S most segments of a
row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mtmoe.data.ground.token_rows import Int32Array


@dataclass(frozen=True)
class Batch:
    """One training batch, or some rows of it.

    An example is a segment of a row: its tokens of a feature lie where
    `<feature>_segments` has its number. Padding is where that is 0.

    For a decoder alone the only feature is `targets`: a segment is an example's inputs
    and behind them its targets, which two more arrays tell apart.

    Attributes:
      features: arrays [B, L] by name:
        `inputs`, `targets`: int32 tokens, 0 at padding.
        `inputs_segments`, `targets_segments`: int32, 0 at padding, else 1, 2, ... along
          a row.
        `targets_prefix`: int32, 1 on a segment's inputs, which may be seen from all of
          them; for a decoder alone.
        `targets_loss_weights`: float32, 1 on a segment's targets and their EOS;
          likewise.
      segment_task: int32 [B, S]: number in `TrainingBatches.task_names` of the task of
        segment s + 1; -1 where the row has no such segment.
      bad_rows: examples left empty because their record is damaged, by task; tasks
        without one are not in it. Of counted rows alone.
      counted: bool [B], the rows that are counted here; None: all. Where several
        processes hold a row, one counts it.
    """

    features: Mapping[str, npt.NDArray[Any]]
    segment_task: Int32Array
    bad_rows: Mapping[str, int]
    counted: npt.NDArray[np.bool_] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The features that hold tokens."""
        return tuple(
            name.removesuffix("_segments")
            for name in self.features
            if name.endswith("_segments")
        )

    def positions(self, name: str) -> Int32Array:
        """Returns each token's place in its segment, int32 [B, L]; 0 at padding."""
        segments_BL = self.features[f"{name}_segments"]
        places_L = np.arange(segments_BL.shape[1], dtype=np.int32)
        begins_BL = np.zeros(segments_BL.shape, bool)
        begins_BL[:, 1:] = segments_BL[:, 1:] != segments_BL[:, :-1]
        first_BL = np.maximum.accumulate(np.where(begins_BL, places_L, 0), axis=1)
        return np.where(segments_BL > 0, places_L - first_BL, 0).astype(np.int32)

    def tasks(self, name: str) -> Int32Array:
        """Returns the number of each token's task, int32 [B, L]; -1 at padding."""
        segments_BL = self.features[f"{name}_segments"]
        segments_from_0_BL = np.maximum(segments_BL - 1, 0)
        tasks_BL = np.take_along_axis(self.segment_task, segments_from_0_BL, axis=1)
        return np.where(segments_BL > 0, tasks_BL, -1).astype(np.int32)

    def with_languages(self, task_language: Int32Array) -> dict[str, npt.NDArray[Any]]:
        """Returns what a training step takes: the features, and their languages.

        Args:
          task_language: number of each task's language.

        Returns:
          `features` and, for each of `names`, `<feature>_language`, int32 [B, L]; -1 at
          padding.
        """
        # Padding is of task -1, and so of the language put behind all others: none.
        language_of_task = np.append(task_language, -1).astype(np.int32)
        languages = {
            f"{name}_language": language_of_task[self.tasks(name)]
            for name in self.names
        }
        return {**self.features, **languages}

    @property
    def num_tokens(self) -> int:
        """Tokens without padding, of counted rows."""
        segments = (self._counted(f"{name}_segments") for name in self.names)
        return sum(int(np.count_nonzero(array)) for array in segments)

    @property
    def num_places(self) -> int:
        """Places for tokens, padding included, of counted rows."""
        return sum(self._counted(name).size for name in self.names)

    @property
    def padding_fraction(self) -> float:
        """Fraction of the places of counted rows that hold padding."""
        return padding_fraction(self.num_tokens, self.num_places)

    def _counted(self, name: str) -> npt.NDArray[Any]:
        array = self.features[name]
        return array if self.counted is None else array[self.counted]


def padding_fraction(num_tokens: int, num_places: int) -> float:
    """Returns the fraction of places that hold padding; 0 of no place."""
    return 1.0 - num_tokens / num_places if num_places else 0.0
