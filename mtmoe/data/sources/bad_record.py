"""A record that cannot be read: where it is and why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mtmoe.errors import CorpusError


@dataclass(frozen=True)
class BadRecord:
    """A record, or the rest of a file, that cannot be read.

    Attributes:
      path: the file.
      line: line number from 1 (Parquet: row number from 1), 0 for the whole file.
      reason: what is wrong.
      ends_file: whether the rest of the file is lost too.
    """

    path: str
    line: int
    reason: str
    ends_file: bool = False

    def __str__(self) -> str:
        """Returns `path:line: reason`."""
        return f"{self.path}:{self.line}: {self.reason}"


OnBad = Callable[[BadRecord], None]


def refuse(bad: BadRecord) -> None:
    """Raises CorpusError naming file, line and reason: for data nobody may skip."""
    raise CorpusError(str(bad))
