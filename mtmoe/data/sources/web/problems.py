"""What could not be read in a pass over web text: counted, named, and bounded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import gin

from mtmoe.data.sources.bad_record import BadRecord
from mtmoe.errors import CorpusError
from mtmoe.ranges import Fraction, Natural, check_fields

_EXAMPLES = 3


@gin.configurable
@dataclass(frozen=True)
class BadDataQuota:
    """How much of a language may be unreadable before it is an error.

    Attributes:
      records: bad records that are always borne.
      fraction: of more than those, what share of all records read so far.
      files: damaged, missing or empty files that are borne.
    """

    records: Natural = 100
    fraction: Fraction = 0.001
    files: Natural = 10

    def __post_init__(self) -> None:
        """Checks the ranges."""
        check_fields(self)


@dataclass(frozen=True)
class ReadingReport:
    """What one pass over a split of a language met.

    Attributes:
      place: folder and layout.
      language: mC4 code.
      split: `train` or `validation`.
      num_documents: documents that came out.
      num_files: files read.
      problems: records and files that could not be read, counted by reason.
      examples: the first few of each reason, as `path:line: reason`.
      cleaning: pages and lines that cleaning kept and dropped, by reason; empty if the
        text was not cleaned.
    """

    place: str
    language: str
    split: str
    num_documents: int
    num_files: int
    problems: Mapping[str, int]
    examples: Mapping[str, tuple[str, ...]]
    cleaning: Mapping[str, int]

    @property
    def has_news(self) -> bool:
        """Whether there is anything to tell the user."""
        return bool(self.problems or self.cleaning)

    def __str__(self) -> str:
        """Returns the report as a few lines of text."""
        lines = [
            f"{self.place}, {self.language!r}, {self.split}: {self.num_documents} "
            f"documents from {self.num_files} files"
        ]
        for reason, count in self.problems.items():
            lines.append(f"  not read, {reason}: {count}")
            lines += [f"    {example}" for example in self.examples[reason]]
        lines += [f"  cleaning, {name}: {n}" for name, n in self.cleaning.items()]
        return "\n".join(lines)


class ProblemCounter:
    """Counts what a pass cannot read, and stops the pass where it is too much.

    Attributes:
      counts: bad records and files by reason.
      examples: the first few of each reason.
      num_records: records read so far, good and bad; the reader keeps it.
    """

    def __init__(self, quota: BadDataQuota, whose: str):
        """Starts at zero.

        Args:
          quota: how much is too much.
          whose: whose text it is, for the error's text.
        """
        self.counts: Counter[str] = Counter()
        self.examples: dict[str, list[str]] = {}
        self.num_records = 0
        self._quota = quota
        self._whose = whose
        self._bad_records = 0
        self._bad_files = 0

    def add(self, bad: BadRecord) -> None:
        """Counts one record or file; its reason up to the first colon is its kind.

        Raises:
          CorpusError: there are more than the quota allows.
        """
        kind = bad.reason.partition(":")[0]
        self.counts[kind] += 1
        examples = self.examples.setdefault(kind, [])
        if len(examples) < _EXAMPLES:
            examples.append(str(bad))
        if bad.ends_file:
            self._bad_files += 1
        else:
            self._bad_records += 1
            self.num_records += 1
        self._check(bad)

    def _check(self, last: BadRecord) -> None:
        quota = self._quota
        too_many_records = self._bad_records > max(
            quota.records, quota.fraction * self.num_records
        )
        if not too_many_records and self._bad_files <= quota.files:
            return
        counts = ", ".join(f"{n} {kind}" for kind, n in self.counts.items())
        raise CorpusError(
            f"{self._whose}: too much cannot be read: {counts}, of {self.num_records} "
            f"records so far; allowed: {quota.files} files, {quota.records} records or "
            f"{quota.fraction:.2%} (gin: BadDataQuota); the first: "
            f"{self._first()}; the last: {last}"
        )

    def _first(self) -> str:
        return next(iter(self.examples.values()))[0]
