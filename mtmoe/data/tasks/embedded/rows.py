"""Rows of one kind of task in one language: split, guarded, capped, made once."""

from __future__ import annotations

import functools
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property

from mtmoe.data.sources.embedded.cleaning import comparable
from mtmoe.data.sources.pairs import PairSource, TextExample
from mtmoe.data.tasks.embedded.fingerprint import rows_fingerprint
from mtmoe.data.tasks.embedded.splits import SPLITS, held_out_guard, task_split
from mtmoe.errors import CorpusError

Row = tuple[str, TextExample]
"""A key and an example."""

Rows = Callable[[str], Iterable[Row]]
"""A function of an mC4 code that gives (key, example) in a fixed order. The key names
what the example is about, the same in every language, as the embedded corpus calls it
where the corpus has the text (`udhr/article/3`, `django/Save`, `cldr/territories/DE`).
`task_split` of the key is the example's split. Several rows may share a key."""

MOST_ROWS = {"train": 2000, "validation": 100, "test": 100}
"""Most rows a task keeps of each split."""


class EmbeddedRows:
    """The examples of one task, by split.

    * Of examples with the same inputs in a split, the first is kept.
    * Inputs that are in a held-out split (case and spacing ignored) are not in train,
      those of validation not in test.
    * Of sentences, training rows that share 24 letters with held-out prose of any
      language are dropped.
    * At most `MOST_ROWS` are kept, chosen by a hash of the key and of the row's number
      among those of its key: the same rows in every language that has them.

    """

    def __init__(self, kind: str, rows: Rows, language: str, is_prose: bool):
        """Reads nothing; see `embedded_source`."""
        self._kind = kind
        self._language = language
        self._rows = rows
        self._is_prose = is_prose

    def examples(self, split: str) -> Sequence[TextExample]:
        """Returns the examples of a split, in the order of the source.

        Raises:
          CorpusError: a package is missing or damaged, or has no such rows.
        """
        return self._by_split[split]

    @cached_property
    def _by_split(self) -> dict[str, Sequence[TextExample]]:
        found: dict[str, dict[str, Row]] = {s: {} for s in SPLITS}
        numbers: Counter[str] = Counter()
        for key, example in self._rows(self._language):
            place = f"{key}#{numbers[key]}"
            numbers[key] += 1
            found[task_split(key)].setdefault(str(example["inputs"]), (place, example))
        if not numbers:
            raise CorpusError(
                f"the installed packages have no {self._kind} rows in "
                f"{self._language!r}"
            )
        held_out: set[str] = set()
        kept = {}
        for split in ("validation", "test", "train"):
            rows = {
                inputs: row
                for inputs, row in found[split].items()
                if comparable(inputs) not in held_out
            }
            held_out.update(map(comparable, rows))
            kept[split] = list(rows.values())
        if self._is_prose:
            kept["train"] = [row for row in kept["train"] if not _leaks(row[1])]
        return {split: _capped(kept[split], MOST_ROWS[split]) for split in SPLITS}


def embedded_source(
    kind: str, rows: Rows, language: str, is_prose: bool = False
) -> PairSource:
    """Returns the source of one task; the rows are made at first use and kept.

    Args:
      kind: kind of the task, e.g. `territory_name`.
      rows: gives the examples of a language, each with its key.
      language: an mC4 code.
      is_prose: whether the rows hold whole sentences.
    """
    return PairSource(
        EmbeddedRows(kind, rows, language, is_prose).examples,
        SPLITS,
        fingerprint=functools.partial(rows_fingerprint, rows),
    )


def _leaks(example: TextExample) -> bool:
    guard = held_out_guard()
    return any(guard.leaks(str(example[side])) for side in ("inputs", "targets"))


def _capped(rows: Sequence[Row], most: int) -> tuple[TextExample, ...]:
    if len(rows) > most:
        digests = {place: hashlib.sha256(place.encode()).digest() for place, _ in rows}
        chosen = set(sorted(digests, key=digests.__getitem__)[:most])
        rows = [row for row in rows if row[0] in chosen]
    return tuple(example for _, example in rows)
