"""Rows of one kind of task in one language: split, guarded, capped, made once."""

from __future__ import annotations

import functools
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

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


def embedded_source(
    kind: str, rows: Rows, language: str, is_prose: bool = False
) -> PairSource:
    """Returns the source of one task; its examples are made at first use and kept.

    * Of examples with the same inputs in a split, the first is kept.
    * Inputs that are in a held-out split (case and spacing ignored) are not in train,
      those of validation not in test.
    * Of sentences, training rows that share 24 letters with held-out prose of any
      language are dropped.
    * At most `MOST_ROWS` are kept, chosen by a hash of the key and of the row's number
      among those of its key: the same rows in every language that has them.

    Args:
      kind: kind of the task, e.g. `territory_name`.
      rows: gives the examples of a language, each with its key.
      language: an mC4 code.
      is_prose: whether the rows hold whole sentences.
    """

    @functools.cache
    def by_split() -> Mapping[str, Sequence[TextExample]]:
        found = _first_of_each(rows(language))
        if not any(found.values()):
            raise CorpusError(
                f"the installed packages have no {kind} rows in {language!r}"
            )
        return _guarded(found, is_prose)

    return PairSource(
        lambda split: by_split()[split],
        SPLITS,
        fingerprint=functools.partial(rows_fingerprint, rows),
    )


def _first_of_each(rows: Iterable[Row]) -> dict[str, dict[str, Row]]:
    """Returns by split and inputs the place of an example, key and number, and it."""
    found: dict[str, dict[str, Row]] = {split: {} for split in SPLITS}
    numbers: Counter[str] = Counter()
    for key, example in rows:
        place = f"{key}#{numbers[key]}"
        numbers[key] += 1
        found[task_split(key)].setdefault(str(example["inputs"]), (place, example))
    return found


def _guarded(
    found: Mapping[str, Mapping[str, Row]], is_prose: bool
) -> dict[str, Sequence[TextExample]]:
    """Leaves out what is held out in another split, and what is too many."""
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
    if is_prose:
        kept["train"] = [row for row in kept["train"] if not _leaks(row[1])]
    return {split: _capped(kept[split], MOST_ROWS[split]) for split in SPLITS}


def _leaks(example: TextExample) -> bool:
    guard = held_out_guard()
    return any(guard.leaks(str(example[side])) for side in ("inputs", "targets"))


def _capped(rows: Sequence[Row], most: int) -> tuple[TextExample, ...]:
    if len(rows) > most:
        digests = {place: hashlib.sha256(place.encode()).digest() for place, _ in rows}
        chosen = set(sorted(digests, key=digests.__getitem__)[:most])
        rows = [row for row in rows if row[0] in chosen]
    return tuple(example for _, example in rows)
