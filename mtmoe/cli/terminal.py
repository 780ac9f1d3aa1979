"""Tables and text on a terminal, for scripts of any width and direction."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

_ISOLATE, _END_ISOLATE = "\u2068", "\u2069"


def display_width(text: str) -> int:
    """Returns how many columns a terminal needs for a text.

    Wide characters (Han, Kana, Hangul) take two, combining marks and format characters
    none.
    """
    return sum(map(_columns, text))


def table(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    right: Sequence[int] = (),
) -> str:
    """Returns rows under headings, columns aligned by what a terminal shows.

    Args:
      headings: one a column.
      rows: cells, as many as headings.
      right: numbers of the columns that are aligned to the right.
    """
    lines = [list(headings), *(list(row) for row in rows)]
    widths = [max(map(display_width, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            _padded(cell, width, number in right)
            for number, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def isolated(text: str) -> str:
    """Returns a text whose direction does not disturb what stands around it.

    Right-to-left text goes between Unicode isolates (UAX 9), so that the label before
    it and the brackets around it stay where they are.
    """
    if any(unicodedata.bidirectional(character) in ("R", "AL") for character in text):
        return _ISOLATE + text + _END_ISOLATE
    return text


def one_line(text: str, columns: int | None = None) -> str:
    """Returns a text on one line, at most `columns` wide, cut with an ellipsis.

    Line breaks, tabs and control characters are shown as their escapes.
    """
    shown = "".join(_visible(character) for character in text)
    if columns is None or display_width(shown) <= columns:
        return shown
    kept, width = "", 1
    for character in shown:
        width += _columns(character)
        if width > columns:
            break
        kept += character
    return kept + "…"


def _padded(cell: str, width: int, right: bool) -> str:
    space = " " * (width - display_width(cell))
    return space + cell if right else cell + space


def _columns(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def _visible(character: str) -> str:
    if unicodedata.category(character) in ("Cc", "Zl", "Zp"):
        return character.encode("unicode_escape").decode("ascii")
    return character
