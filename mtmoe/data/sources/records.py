"""A SeqIO source over the user's own files: CSV, TSV, JSON lines or Parquet."""

from __future__ import annotations

import functools
import os
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import gin

from mtmoe.data.ground.user_code import described
from mtmoe.data.sources.bad_record import BadRecord, refuse
from mtmoe.data.sources.file_names import files_of_pattern
from mtmoe.data.sources.files import Record, read_records
from mtmoe.data.sources.pairs import PairSource, TextExample
from mtmoe.data.sources.values import ExampleCheck, LeftOut
from mtmoe.errors import EmptySplitError, MtmoeError

MakeExamples = Callable[[Record], TextExample | Iterable[TextExample] | None]


@gin.configurable
def data_directory(path: str = "") -> str:
    """Returns the folder that file names of tasks are relative to.

    Args:
      path: the folder; `$MTMOE_DATA` if empty, and without that the current folder.
    """
    return path or os.environ.get("MTMOE_DATA", "")


@dataclass
class _Split:
    """What was read of a split; file and line of an example are in two flat arrays."""

    paths: list[str]
    examples: list[TextExample] = field(default_factory=list)
    files: array[int] = field(default_factory=lambda: array("l"))
    lines: array[int] = field(default_factory=lambda: array("q"))
    num_left_out: int = 0

    def add(self, example: TextExample, file: int, line: int) -> None:
        self.examples.append(example)
        self.files.append(file)
        self.lines.append(line)


class RecordSource(PairSource):
    """Text-to-text examples made of the records of files.

    Attributes:
      files: file name or pattern by split.
      make_examples: makes examples of a record.
      how_to_get: what to do if a file is missing, for the error's text.
      quoted: whether cells of a table may stand in double quotes, None: by the ending.
    """

    def __init__(
        self,
        files: Mapping[str, str],
        make_examples: MakeExamples,
        how_to_get: str = "",
        quoted: bool | None = None,
    ):
        """Makes the source; reads nothing.

        Args:
          files: file name, or pattern with `*`, by split; relative ones are looked up
            in `data_directory()`.
          make_examples: makes of a record one example, several, or None to leave it
            out. What it raises, and a value it gives that is no text, is reported with
            file and line of the record.
          how_to_get: where the files come from, and what they must hold.
          quoted: whether cells of a table may stand in double quotes; if None those of
            `.csv` may, those of `.tsv` may not.
        """
        super().__init__(self.examples, tuple(files))
        self.files = dict(files)
        self.how_to_get = how_to_get
        self.quoted = quoted
        self.make_examples = make_examples
        self._read = functools.lru_cache(maxsize=None)(self._read_split)

    def paths(self, split: str) -> list[str]:
        """Returns the files of a split, sorted.

        Raises:
          CorpusError: there are none.
        """
        return self._paths(split, data_directory())

    def examples(self, split: str) -> Sequence[TextExample]:
        """Returns the examples of a split, in order, each of them checked.

        Raises:
          CorpusError: more records than `bad_examples.quota` are bad; the message has
            file and line of the first one.
        """
        return self._read(split, data_directory()).examples

    def num_left_out(self, split: str) -> int:
        """Returns how many records of a split were left out because they are bad."""
        return self._read(split, data_directory()).num_left_out

    def place(self, split: str, number: int) -> str:
        """Returns `FILE:LINE` of the record that example `number` was made of."""
        read = self._read(split, data_directory())
        return f"{read.paths[read.files[number]]}:{read.lines[number]}"

    def _read_split(self, split: str, directory: str) -> _Split:
        read = _Split(self._paths(split, directory))
        check, left_out = ExampleCheck(), LeftOut()

        def unreadable(bad: BadRecord) -> None:
            if bad.ends_file:
                refuse(bad)
            left_out.add(str(bad))

        for file, path in enumerate(read.paths):
            for line, record in read_records(path, unreadable, quoted=self.quoted):
                problem, made = self._made_of(record)
                problem = problem or next(filter(None, map(check.problem, made)), "")
                if problem:
                    left_out.add(str(BadRecord(path, line, problem)))
                    continue
                for example in made:
                    read.add(example, file, line)
        left_out.settle()
        left_out.tell(f"{self.files[split]}, split {split!r}")
        read.num_left_out = left_out.count
        if not read.examples:
            raise EmptySplitError(
                f"{self.files[split]} has no examples (split {split!r})"
            )
        return read

    def _made_of(self, record: Record) -> tuple[str, Sequence[Any]]:
        """Returns why a record makes no examples, or "", and the examples it makes."""
        try:
            made = self.make_examples(record)
            if made is None:
                return "", ()
            if isinstance(made, Mapping):
                return "", (made,)
            if isinstance(made, Iterator | list | tuple):
                return "", list(made)
            return f"made into {made!r:.40}, which is no example", ()
        except MtmoeError as error:
            return str(error), ()
        except Exception as error:  # whatever a user's function may raise
            has = ", ".join(map(repr, record))
            return f"{described(error)}; the record has {has}", ()

    def _paths(self, split: str, directory: str) -> list[str]:
        pattern = os.path.join(directory, self.files[split])
        paths = files_of_pattern(pattern)
        if not paths:
            raise EmptySplitError(
                f"no file {pattern} (split {split!r}; relative names are looked up in "
                f"$MTMOE_DATA, now {directory or os.getcwd()!r})"
                + (f"; {self.how_to_get}" if self.how_to_get else "")
            )
        return paths
