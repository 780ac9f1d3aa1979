"""Languages, by any of their usual codes.

mC4's 107 codes have their rows in one table (`LANGUAGES`); every other language, and
every other script of one, has a row made of CLDR's and ISO's tables. All of mtmoe
looks codes up with `language()`.
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
    "language_code",
    "row_language",
    "spaces_words",
]


def language(tag: str) -> Language:
    """Returns the row of the language and script that a tag names.

    Case does not matter, and `_` equals `-`: `zh_CN`, `zho_Hans` and `ZH` are one. What
    mC4 files under one of its codes has that row (`hi-IN` is `hi`); another script or
    another language has its own (`sr-Latn`, `hr`). docs/register_a_task.md has the
    rules.

    Args:
      tag: BCP 47 tag, ISO 639-1/2/3 code, FLORES or XLM code, or mC4's own.

    Raises:
      UnknownNameError: no language has that name.
    """
    return BY_NAME.get(normalized(tag)) or _row(language_code(tag))


def language_code(tag: str) -> str:
    """Returns `language(tag).code`; without names and families, which take 0.1 s.

    Raises:
      UnknownNameError: no language has that name.
    """
    listed = BY_NAME.get(normalized(tag))
    code = listed.code if listed else _code(normalized(tag))
    if code:
        return code
    raise _unknown(tag)


def spaces_words(tag: str) -> bool:
    """Returns `language(tag).spaces_words`; without names, as `language_code`."""
    from mtmoe.languages import scripts
    from mtmoe.languages.tags import read_tag

    found = read_tag(language_code(tag))
    return found is None or scripts.spaces_words(found.script)


# What follows loads CLDR's and ISO's tables, which mC4's languages do not need.


@functools.cache
def _code(tag: str) -> str:
    from mtmoe.languages.tags import read_tag

    found = read_tag(tag)
    return found.code if found else ""


@functools.cache
def _row(code: str) -> Language:
    from mtmoe.languages.rows import row_of
    from mtmoe.languages.tags import read_tag

    tag = read_tag(code)
    assert tag is not None, f"{code!r} is a code but no tag"
    return BY_NAME.get(normalized(code)) or row_of(tag)


def _unknown(tag: str) -> UnknownNameError:
    """Returns the error about a tag, with the names that may have been meant."""
    from mtmoe.languages.iso import code_named

    named = code_named(tag)
    if named:
        where = f"the code of {tag} is {named}"
        return UnknownNameError("language code", tag, [], where)
    head, _, rest = normalized(tag).partition("-")
    code = _code(head) if rest else ""
    if code:  # what follows the language is wrong
        nearest = [code, *(f"{code}-{script}" for script in ("Latn", "Cyrl", "Arab"))]
        return UnknownNameError("language code", tag, nearest)
    valid = [name for entry in LANGUAGES for name in (entry.code, *entry.aliases)]
    return UnknownNameError("language code", tag, valid)


SEVERAL_LANGUAGES = Language("mul", "Several languages", "Zyyy", "Several", ())
"""Stands in tables for a task in several languages at once (ISO 639-2 `mul`)."""


def row_language(code: str) -> Language:
    """Returns the language of a table's row, also `SEVERAL_LANGUAGES` for `mul`.

    Raises:
      UnknownNameError: no language has that name.
    """
    return SEVERAL_LANGUAGES if code == SEVERAL_LANGUAGES.code else language(code)
