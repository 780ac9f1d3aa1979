"""A SeqIO source over the user's own files: CSV, TSV, JSON lines or Parquet."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Mapping, Sequence

import gin

from mtmoe.data.sources.bad_record import BadRecord, refuse
from mtmoe.data.sources.file_names import files_of_pattern
from mtmoe.data.sources.files import MissingFieldError, Record, read_records
from mtmoe.data.sources.pairs import PairSource, TextExample
from mtmoe.errors import EmptySplitError

MakeExamples = Callable[[Record], TextExample | Iterable[TextExample] | None]


@gin.configurable
def data_directory(path: str = "") -> str:
    """Returns the folder that file names of tasks are relative to.

    Args:
      path: the folder; `$MTMOE_DATA` if empty, and without that the current folder.
    """
    return path or os.environ.get("MTMOE_DATA", "")


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
            out. A KeyError, TypeError or ValueError it raises is reported with file
            and line.
          how_to_get: where the files come from, and what they must hold.
          quoted: whether cells of a table may stand in double quotes; if None those of
            `.csv` may, those of `.tsv` may not.
        """
        super().__init__(self._examples, tuple(files))
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

    def _examples(self, split: str) -> Sequence[TextExample]:
        return self._read(split, data_directory())

    def _read_split(self, split: str, directory: str) -> Sequence[TextExample]:
        examples: list[TextExample] = []
        for path in self._paths(split, directory):
            for line, record in read_records(path, quoted=self.quoted):
                try:
                    made = self.make_examples(record)
                except MissingFieldError as error:
                    refuse(BadRecord(path, line, str(error)))
                except (KeyError, TypeError, ValueError, IndexError) as error:
                    has = ", ".join(map(repr, record))
                    reason = f"{type(error).__name__} {error}; the record has {has}"
                    refuse(BadRecord(path, line, reason))
                if made is None:
                    continue
                examples.extend([made] if isinstance(made, Mapping) else made)
        if not examples:
            raise EmptySplitError(
                f"{self.files[split]} has no examples (split {split!r})"
            )
        return examples

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
