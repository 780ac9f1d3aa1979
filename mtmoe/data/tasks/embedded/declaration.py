"""Paragraphs of the Declaration of Human Rights, aligned between languages."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

from mtmoe.data.sources.embedded import udhr
from mtmoe.data.sources.embedded.cleaning import clean_lines
from mtmoe.data.tasks.embedded.packages import corpus_package_root

ORIGIN = "npm udhr"
LICENCE = "package MIT; text United Nations, free to reproduce"
ARTICLE = "udhr/article/"


class Paragraph(NamedTuple):
    """A paragraph of one language.

    Attributes:
      key: the section it is in, `udhr/article/3` or `udhr/preamble`.
      number: its place in the section, from 0.
      text: one clean line.
    """

    key: str
    number: int
    text: str


@cache
def paragraphs(code: str) -> tuple[Paragraph, ...]:
    """Returns every paragraph of a language's Declaration, in order.

    Raises:
      CorpusError: npm's package is missing or damaged.
    """
    root = corpus_package_root(udhr.PACKAGE)
    return tuple(
        Paragraph(passage.key, number, line)
        for passage in udhr.PACKAGE.passages(root, code)
        for number, line in enumerate(clean_lines(passage.text))
    )


@cache
def comparable_paragraphs(code: str) -> tuple[Paragraph, ...]:
    """Returns the paragraphs that have a counterpart in English.

    Those of sections that have as many paragraphs as the English section.
    """
    english = _section_sizes("en")
    own = _section_sizes(code)
    return tuple(
        paragraph
        for paragraph in paragraphs(code)
        if own[paragraph.key] == english.get(paragraph.key)
    )


@cache
def text_by_place(code: str) -> Mapping[tuple[str, int], str]:
    """Returns the text of the comparable paragraphs by section and number."""
    return {(key, number): text for key, number, text in comparable_paragraphs(code)}


def excerpt(text: str, length: int) -> str:
    """Returns the beginning of a text, cut between words where it has any."""
    if len(text) <= length:
        return text
    cut = text[: length + 1]
    # Scripts without spaces have none near the end: they are cut anywhere.
    return cut[: cut.rfind(" ")] if " " in cut[length // 2 :] else text[:length]


def _section_sizes(code: str) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for paragraph in paragraphs(code):
        sizes[paragraph.key] = paragraph.number + 1
    return sizes
