"""A SeqIO source that joins several: one task over data sets that belong together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import seqio
import tensorflow as tf

from mtmoe.ranges import Positive, check_fields


@dataclass(frozen=True)
class Part:
    """One of the sources that are joined.

    Attributes:
      source: where its examples come from; it takes part in the splits it has.
      steps: functions of a `tf.data.Dataset` that bring its examples to the features
        all parts have in common.
      weight: its share of a shuffled split, best its number of training examples.
    """

    source: seqio.DataSource
    steps: Sequence[Callable[[tf.data.Dataset], tf.data.Dataset]] = field(default=())
    weight: Positive = 1.0

    def __post_init__(self) -> None:
        """Checks the range."""
        check_fields(self)


class JoinedSource(seqio.FunctionDataSource):  # type: ignore[misc]
    """The examples of several sources.

    Shuffled, they are drawn by the parts' weights until all are used up; in order, one
    source follows the other.

    Attributes:
      parts: the sources.
    """

    def __init__(self, parts: Sequence[Part]):
        """Makes the source; reads nothing.

        Args:
          parts: the sources; a split of any is a split of the whole.
        """
        splits = dict.fromkeys(split for part in parts for split in part.source.splits)
        super().__init__(dataset_fn=self._dataset, splits=tuple(splits))
        self.parts = tuple(parts)

    def num_input_examples(self, split: str) -> Any:
        """Returns the examples of a split before the parts' steps, None if unknown."""
        counts = [
            part.source.num_input_examples(split) for part in self.parts_of(split)
        ]
        return None if None in counts else sum(counts)

    def parts_of(self, split: str) -> list[Part]:
        """Returns the parts that have a split."""
        return [part for part in self.parts if split in part.source.splits]

    def _dataset(
        self, split: str, shuffle_files: bool, seed: int | None = None
    ) -> tf.data.Dataset:
        parts = self.parts_of(split)
        datasets = []
        for part in parts:
            dataset = part.source.get_dataset(
                split=split, shuffle=shuffle_files, seed=seed
            )
            for step in part.steps:
                dataset = step(dataset)
            datasets.append(dataset)
        if shuffle_files and len(datasets) > 1:
            total = sum(part.weight for part in parts)
            return tf.data.Dataset.sample_from_datasets(
                datasets, weights=[part.weight / total for part in parts], seed=seed
            )
        joined = datasets[0]
        for dataset in datasets[1:]:
            joined = joined.concatenate(dataset)
        return joined
