"""A SeqIO source over documents that Python already holds, or can read, as strings."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import seqio
import tensorflow as tf


class TextSource(seqio.FunctionDataSource):  # type: ignore[misc]
    """Documents by split, read at first use; each becomes an example `{"text": ...}`.

    Plain SeqIO sees a `FunctionDataSource`. The token cache reads `documents` directly,
    without a tf.data pipeline.

    Attributes:
      documents: function of a split's name that returns its documents in order.
      language: code of the documents' language, "" if they have none in common.
      fingerprint: None, or a function whose result changes whenever a document may.
    """

    def __init__(
        self,
        documents: Callable[[str], Iterable[str]],
        splits: Iterable[str] = ("train", "validation"),
        language: str = "",
        fingerprint: Callable[[], str] | None = None,
    ):
        """Makes the source; reads nothing.

        Args:
          documents: function of a split's name that returns its documents in order; it
            may read them anew each time they are iterated over.
          splits: names of the splits there are.
          language: code of the documents' language.
          fingerprint: names the content without reading it; what it returns must change
            whenever a document of any split may. Without it, documents are read each
            time the task is opened, to compare them with those in the token cache.
        """
        super().__init__(dataset_fn=self._dataset, splits=splits)
        self.documents = documents
        self.language = language
        self.fingerprint = fingerprint

    def num_parts(self, split: str) -> int:
        """Returns how many parts a split can be read in, each by itself."""
        del split
        return 1

    def part(self, split: str, number: int) -> Iterable[str]:
        """Returns the documents of a part, from 0; the parts together are the split."""
        del number
        return self.documents(split)

    def num_input_examples(self, split: str) -> int:
        """Returns the number of documents of a split (reads them)."""
        return sum(1 for _ in self.documents(split))

    def num_characters(self, split: str) -> int:
        """Returns the number of characters of a split (reads it)."""
        return sum(map(len, self.documents(split)))

    def _dataset(
        self, split: str, shuffle_files: bool, seed: int | None = None
    ) -> tf.data.Dataset:
        texts: Any = [document.encode("utf-8") for document in self.documents(split)]
        dataset = tf.data.Dataset.from_tensor_slices(
            {"text": tf.constant(texts, tf.string, shape=[len(texts)])}
        )
        if shuffle_files:
            dataset = dataset.shuffle(len(texts), seed=seed)
        return dataset
