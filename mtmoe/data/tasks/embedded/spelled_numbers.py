"""Rows of numbers in words, in the languages where two libraries spell them alike.

`unicode-rbnf` (Unicode CLDR's rules) and `num2words` were written apart from each
other. A number is taken where both give the same words; how these are joined (spaces,
hyphens) may differ and is CLDR's.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import cache

from mtmoe.data.tasks.embedded.rows import Row
from mtmoe.languages import language

ORIGIN = "unicode-rbnf, num2words"
LICENCE = "MIT (CLDR rules Unicode-3.0), LGPL-2.1"

SMALL_NUMBERS = 200
NUMBERS_PER_LENGTH = 110
LENGTHS = range(3, 8)
"""All numbers below `SMALL_NUMBERS`, and some of each length in digits."""

MOST_ORDINAL = 2000

_RBNF = {"iw": "he"}
_NUM2WORDS = {"iw": "he", "pt": "pt_BR"}
# Soft hyphens and zero-width spaces say where a line may break.
_BREAKS = dict.fromkeys(map(ord, "\u00ad\u200b"))
_JOINTS = dict.fromkeys(map(ord, " -\u00a0\u200c"))


def spell_rows(code: str) -> Iterator[Row]:
    """Yields numbers from 0 to 10 million in words."""
    name = language(code).name
    for number, words in _spelled(code, "cardinal"):
        question = f"number in {name} words: {number}"
        yield f"number/{number}", {"inputs": question, "targets": words}


def read_rows(code: str) -> Iterator[Row]:
    """Yields the digits of numbers in words."""
    name = language(code).name
    for number, words in _spelled(code, "cardinal"):
        question = f"digits of this {name} number: {words}"
        yield f"number/{number}", {"inputs": question, "targets": str(number)}


def ordinal_rows(code: str) -> Iterator[Row]:
    """Yields ordinal numbers, first to two thousandth, in words."""
    name = language(code).name
    for number, words in _spelled(code, "ordinal"):
        question = f"ordinal number in {name} words: {number}"
        yield f"number/{number}", {"inputs": question, "targets": words}


def _numbers() -> list[int]:
    generator = random.Random("numbers in words")
    found = dict.fromkeys(range(SMALL_NUMBERS))
    for length in LENGTHS:
        for _ in range(NUMBERS_PER_LENGTH):
            found[generator.randrange(10 ** (length - 1), 10**length)] = None
    return list(found)


@cache
def _spelled(code: str, purpose: str) -> tuple[tuple[int, str], ...]:
    """Numbers and their words, where both libraries agree."""
    from num2words import num2words
    from unicode_rbnf import FormatPurpose, RbnfEngine

    engine = RbnfEngine.for_language(_RBNF.get(code, code))
    numbers = _numbers()
    if purpose == "ordinal":
        numbers = [number for number in numbers if 0 < number <= MOST_ORDINAL]
    found = []
    for number in numbers:
        result = engine.format_number(number, FormatPurpose[purpose.upper()])
        words = result.text.translate(_BREAKS)
        other = num2words(number, lang=_NUM2WORDS.get(code, code), to=purpose)
        if _joined(words) == _joined(other):
            found.append((number, words))
    return tuple(found)


def _joined(words: str) -> str:
    return words.translate(_JOINTS).casefold()
