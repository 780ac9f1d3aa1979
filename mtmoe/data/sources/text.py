"""A SeqIO source over documents that Python already holds, or can read, as strings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import seqio
import tensorflow as tf

from mtmoe.data.ground.user_code import function_name
from mtmoe.data.sources.values import LeftOut, MadeExampleError, text_problem
from mtmoe.errors import CorpusError


class TextSource(seqio.FunctionDataSource):  # type: ignore[misc]
    """Documents by split, read at first use; each becomes an example `{"text": ...}`.

    Plain SeqIO sees a `FunctionDataSource`. The token cache reads `documents` directly,
    without a tf.data pipeline. Either way each document is checked first (`values`).

    Attributes:
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
        self.language = language
        self.fingerprint = fingerprint
        self._read = documents
        self._num_left_out: dict[str, int] = {}

    def documents(self, split: str) -> Iterable[str]:
        """Returns the documents of a split, in order; they are checked as they come.

        Raises:
          CorpusError: there is no list of documents; as they come, more of them than
            `bad_examples.quota` are no text.
        """
        found = self._read(split)
        if isinstance(found, str | bytes | Mapping) or not isinstance(found, Iterable):
            raise CorpusError(
                f"{function_name(self._read)} gave a {type(found).__qualname__} for "
                f"split {split!r}; a list of texts is wanted, one a document"
            )
        return _Checked(self, split, found)

    def num_left_out(self, split: str) -> int:
        """Returns how many bad documents the last reading of a split left out."""
        return self._num_left_out.get(split, 0)

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


@dataclass(frozen=True)
class _Checked(Iterable[str]):
    """Documents without those that are no text; read anew as often as the source's."""

    source: TextSource
    split: str
    found: Iterable[Any]

    def __iter__(self) -> Iterator[str]:
        left_out, source = LeftOut(MadeExampleError), self.source
        for number, document in enumerate(self.found, start=1):
            problem = text_problem(document)
            if not problem:
                yield document
                continue
            by = function_name(source._read)
            left_out.add(
                f"split {self.split!r}, document {number:,} that {by} gave {problem}; "
                "a text is wanted"
            )
            left_out.settle()
        if source._num_left_out.get(self.split) != left_out.count:
            left_out.tell(f"split {self.split!r}")
        source._num_left_out[self.split] = left_out.count
