"""Languages, by any of the names they go by.

mC4's 107 codes have their rows in one table (`LANGUAGES`); every other language, and
every other script of one, has a row made of CLDR's and ISO's tables. Every part of
mtmoe that meets a code asks `language()`.
"""

from __future__ import annotations

import functools

from mtmoe.errors import UnknownNameError
from mtmoe.languages.mc4 import BY_NAME, LANGUAGES, MC4_LANGUAGES
from mtmoe.languages.record import Language, normalized

__all__ = [
    "LANGUAGES",
    "MC4_LANGUAGES",
    "SEVERAL_LANGUAGES",
    "Language",
    "language",
    "row_language",
]


def language(tag: str) -> Language:
    """Returns the row of the language and script that a tag of any usual kind names.

    Case does not matter, and `_` equals `-`: `zh_CN`, `zho_Hans` and `ZH` are one. What
    mC4 files under one of its codes has that row (`hi-IN` is `hi`); another script or
    another language has one of its own (`sr-Latn`, `hr`). docs/tasks.md has the rules.

    Args:
      tag: BCP 47 tag, ISO 639-1/2/3 code, FLORES or XLM code, or mC4's own.

    Raises:
      UnknownNameError: no language goes by that name.
    """
    found = BY_NAME.get(normalized(tag)) or _read(normalized(tag))
    if found is None:
        from mtmoe.languages.tags import language_named

        code = language_named(tag)
        raise UnknownNameError(
            "language code",
            tag,
            [name for entry in LANGUAGES for name in (entry.code, *entry.aliases)],
            where=f"the code of {tag} is {code}" if code else "",
        )
    return found


@functools.cache
def _read(tag: str) -> Language | None:
    from mtmoe.languages.tags import read_tag  # loads CLDR's and ISO's tables

    found = read_tag(tag)
    # All tags of one row give one object.
    return language(found.code) if found and normalized(found.code) != tag else found


SEVERAL_LANGUAGES = Language("mul", "Several languages", "Zyyy", "Several", ())
"""Stands in tables for a task in several languages at once (ISO 639-2 `mul`)."""


def row_language(code: str) -> Language:
    """Returns the language of a table's row, `SEVERAL_LANGUAGES` among them.

    Args:
      code: a code as `language` takes it, or `mul`.

    Raises:
      UnknownNameError: neither.
    """
    return SEVERAL_LANGUAGES if code == SEVERAL_LANGUAGES.code else language(code)
