"""From package strings to plain text: no markup, no placeholders, one normal form."""

from __future__ import annotations

import html
import re
import unicodedata

# Applied in this order; `%s` and its like before lone `%` signs have a meaning.
_NOT_TEXT = re.compile(
    r"""
      \{%.*?%\}                                 # template statement
    | \{\{.*?\}\}                               # template expression
    | \{[^{}\s]*\}                              # {x}, {0}, {x:.2f}
    | %\([A-Za-z_]\w*\)[#0\- +]*[\d.]*[A-Za-z]  # %(name)s
    | %[#0\-+]*[\d.]*[sdirfgxX](?![^\W\d_])     # %s, %02d
    | </?(?:[^\W\d_]|!)[^<>]*>                  # tag, some with translated names
    """,
    re.VERBOSE | re.DOTALL,
)
_EMPTY_PAIR = re.compile(r"“\s*”|„\s*[“”]|«\s*»|‘\s*’|「\s*」|\"\s*\"|\(\s*\)|\[\s*\]")
_JOINERS = frozenset("\u200c\u200d")  # they shape words in Persian, Sinhala, Malayalam
_DROPPED_CATEGORIES = frozenset({"Cc", "Cf", "Co", "Cs", "Cn"})


def clean_line(text: str) -> str:
    """Returns one line of text as it enters the corpus; empty if no letter is left.

    Entities are resolved, tags and placeholders removed, characters composed (NFC),
    control and formatting characters dropped (zero-width joiners stay), and every run
    of white space becomes one space.
    """
    text = html.unescape(_NOT_TEXT.sub(" ", text))
    text = unicodedata.normalize("NFC", _NOT_TEXT.sub(" ", text))
    text = _EMPTY_PAIR.sub(" ", text)
    text = " ".join(text.split())
    if not text.isprintable():
        text = "".join(filter(_is_kept, text)).strip()
    return text if any(map(str.isalpha, text)) else ""


def clean_lines(text: str) -> list[str]:
    """Returns the clean lines of a text, without empty ones."""
    lines = (clean_line(line) for line in text.splitlines())
    return [line for line in lines if line]


def comparable(line: str) -> str:
    """Returns the form in which two lines are called the same."""
    return " ".join(line.casefold().split())


def letters(text: str) -> str:
    """Returns the letters of a text alone, caseless: what shingles are cut from."""
    folded = unicodedata.normalize("NFC", text.casefold())
    return "".join(filter(str.isalpha, folded))


def _is_kept(character: str) -> bool:
    return (
        character in _JOINERS
        or unicodedata.category(character) not in _DROPPED_CATEGORIES
    )
