"""A SeqIO source of text-to-text examples that Python makes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import seqio
import tensorflow as tf

TextExample = Mapping[str, str | Sequence[str]]
"""`inputs` and `targets` as text, and whatever else the metrics want to see, each a
string or a list of strings; all examples of a split have the same keys."""


class PairSource(seqio.FunctionDataSource):  # type: ignore[misc]
    """Examples by split, made at first use.

    Plain SeqIO sees a `FunctionDataSource`; the token cache reads `examples` directly,
    without a tf.data pipeline.

    Attributes:
      examples: function of a split's name that returns its examples in order.
      fingerprint: None, or a function whose result changes whenever any example may.
    """

    def __init__(
        self,
        examples: Callable[[str], Sequence[TextExample]],
        splits: Iterable[str] = ("train", "validation", "test"),
        fingerprint: Callable[[], str] | None = None,
    ):
        """Makes the source; reads nothing.

        Args:
          examples: function of a split's name that returns its examples in order, the
            same ones every time.
          splits: names of the splits there are.
          fingerprint: names the content without making it; what it returns must change
            whenever any example may. Without it, examples are made each time the task
            is opened, to compare them with those in the token cache.
        """
        super().__init__(dataset_fn=self._dataset, splits=splits)
        self.examples = examples
        self.fingerprint = fingerprint

    def num_input_examples(self, split: str) -> int:
        """Returns the number of examples of a split (reads them)."""
        return len(self.examples(split))

    def _dataset(
        self, split: str, shuffle_files: bool, seed: int | None = None
    ) -> tf.data.Dataset:
        examples = self.examples(split)
        signature = {
            key: tf.TensorSpec([] if isinstance(value, str) else [None], tf.string)
            for key, value in (examples[0].items() if examples else _NO_TEXT.items())
        }

        def encoded() -> Iterator[dict[str, Any]]:
            for example in examples:
                yield {key: _bytes(value) for key, value in example.items()}

        dataset = tf.data.Dataset.from_generator(encoded, output_signature=signature)
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(len(examples)))
        if shuffle_files and examples:
            dataset = dataset.shuffle(len(examples), seed=seed)
        return dataset


_NO_TEXT = {"inputs": "", "targets": ""}


def _bytes(value: str | Sequence[str]) -> bytes | list[bytes]:
    if isinstance(value, str):
        return value.encode("utf-8")
    return [text.encode("utf-8") for text in value]
