"""English misspellings of `codespell`, each with the word that was meant."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from mtmoe.data.tasks.embedded.packages import python_package_root

ORIGIN = "codespell"
LICENCE = "GPL-2.0 code; dictionary CC-BY-SA-3.0"


class Misspelling(NamedTuple):
    """A misspelt word.

    Attributes:
      key: `codespell/` and the right word.
      wrong: as it is misspelt.
      right: the only word that can be meant.
    """

    key: str
    wrong: str
    right: str


@cache
def misspellings() -> tuple[Misspelling, ...]:
    """Returns the misspellings of plain words with one correction.

    Raises:
      CorpusError: the package is missing.
    """
    path = python_package_root("codespell", "codespell_lib") / "data" / "dictionary.txt"
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        wrong, _, right = line.partition("->")
        # A comma ends the corrections where several are possible or none is sure.
        if wrong.isalpha() and right.isalpha():
            found.append(Misspelling(f"codespell/{right}", wrong, right))
    return tuple(found)
