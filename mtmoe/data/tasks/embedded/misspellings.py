"""English misspellings of `codespell`, each with the word that was meant."""

from __future__ import annotations

from functools import cache

from mtmoe.data.tasks.embedded.packages import python_package_root

ORIGIN = "codespell"
LICENCE = "GPL-2.0 code; dictionary CC-BY-SA-3.0"


@cache
def misspellings() -> tuple[tuple[str, str, str], ...]:
    """Returns the misspellings of plain words that have one correction.

    Each is a key, `codespell/` and the right word; the misspelling; and the right word.
    """
    path = python_package_root("codespell", "codespell_lib") / "data" / "dictionary.txt"
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        wrong, _, right = line.partition("->")
        # A comma ends the corrections where several are possible or none is sure.
        if wrong.isalpha() and right.isalpha():
            found.append((f"codespell/{right}", wrong, right))
    return tuple(found)
