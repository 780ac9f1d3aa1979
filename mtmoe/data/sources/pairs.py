"""A SeqIO source of text-to-text examples that Python makes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import seqio
import tensorflow as tf

from mtmoe.data.ground.user_code import function_name
from mtmoe.data.sources.values import ExampleCheck, LeftOut, MadeExampleError
from mtmoe.errors import CorpusError

TextExample = Mapping[str, str | Sequence[str]]
"""`inputs` and `targets` as text, and whatever else the metrics want to see, each a
string or a list of strings; all examples of a split have the same keys."""


class PairSource(seqio.FunctionDataSource):  # type: ignore[misc]
    """Examples by split, made at first use.

    Plain SeqIO sees a `FunctionDataSource`; the token cache reads `examples` directly,
    without a tf.data pipeline. Either way each value is checked first (`values`).

    Attributes:
      fingerprint: None, or a function whose result changes whenever any example may.
    """

    def __init__(
        self,
        examples: Callable[[str], Iterable[TextExample]],
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
        self.fingerprint = fingerprint
        self._make = examples
        self._num_left_out: dict[str, int] = {}

    def examples(self, split: str) -> Sequence[TextExample]:
        """Makes the examples of a split, in order, each of them checked.

        Raises:
          CorpusError: more examples than `bad_examples.quota` hold something else than
            text, or are no examples; the message has the first one's place.
        """
        made = self._make(split)
        if isinstance(made, str | bytes | Mapping) or not isinstance(made, Iterable):
            raise CorpusError(
                f"{function_name(self._make)} gave a {type(made).__qualname__} for "
                f"split {split!r}; a list of examples is wanted, each a dict of texts"
            )
        examples = made if isinstance(made, Sequence) else list(made)
        check, left_out = ExampleCheck(), LeftOut(MadeExampleError)
        bad = set()
        for number, example in enumerate(examples):
            problem = check.problem(example)
            if problem:
                bad.add(number)
                left_out.add(f"{self._made_at(split, number)}: {problem}")
        self._settle(split, left_out)
        if not bad:
            return examples
        return [x for number, x in enumerate(examples) if number not in bad]

    def num_left_out(self, split: str) -> int:
        """Returns how many bad examples the last reading of a split left out."""
        return self._num_left_out.get(split, 0)

    def place(self, split: str, number: int) -> str:
        """Says in words which example of a split is number `number`, from 0."""
        del split
        return f"example {number + 1:,}"

    def num_input_examples(self, split: str) -> int:
        """Returns the number of examples of a split (reads them)."""
        return len(self.examples(split))

    def _made_at(self, split: str, number: int) -> str:
        by = function_name(self._make)
        return f"split {split!r}, example {number + 1:,} that {by} made"

    def _settle(self, split: str, left_out: LeftOut) -> None:
        """Ends a reading: refuses too many bad examples, and tells of others once."""
        left_out.settle()
        if self._num_left_out.get(split) != left_out.count:
            left_out.tell(f"split {split!r}")
        self._num_left_out[split] = left_out.count

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
