"""One language: its passages cleaned, split, guarded and joined into documents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from mtmoe.data.sources.embedded.cleaning import clean_lines, comparable
from mtmoe.data.sources.embedded.package import Passage
from mtmoe.data.sources.embedded.splits import LeakGuard, split_passages

DOCUMENT_CHARACTERS = 600


class Line(NamedTuple):
    """A clean line of text and where it came from."""

    text: str
    group: str
    source: str
    is_prose: bool


@dataclass(frozen=True)
class LanguageText:
    """The documents of one language.

    Attributes:
      documents: by split (`train`, `validation`), prose first.
      prose_documents: how many of the validation documents, from the first, are prose.
      characters: in the documents of both splits, by source; line breaks not counted.
      dropped: lines left out, by source and reason.
    """

    documents: Mapping[str, tuple[str, ...]]
    prose_documents: int
    characters: Mapping[str, int]
    dropped: Mapping[str, Mapping[str, int]]


def build_language(passages: Mapping[str, Sequence[Passage]]) -> LanguageText:
    """Makes the documents of a language.

    Args:
      passages: the language's passages, by source, prose sources first.
    """
    source_of = {
        passage.key: source for source, found in passages.items() for passage in found
    }
    parts = split_passages([p for found in passages.values() for p in found])
    dropped: Counter[tuple[str, str]] = Counter()

    validation = _unique_lines(parts["validation"], source_of, set(), dropped)
    held_out = {comparable(line.text) for line in validation}
    training = _unique_lines(parts["train"], source_of, held_out, dropped)

    validation_groups = _grouped(validation)
    prose = [_join(group) for group in validation_groups if group[0].is_prose]
    training_groups = _without_leaks(training, LeakGuard(prose), dropped)

    characters: Counter[str] = Counter()
    for group in (*training_groups, *validation_groups):
        for line in group:
            characters[line.source] += len(line.text)
    return LanguageText(
        documents={
            "train": tuple(map(_join, training_groups)),
            "validation": tuple(map(_join, validation_groups)),
        },
        prose_documents=len(prose),
        characters=dict(sorted(characters.items())),
        dropped={
            source: {r: n for (s, r), n in sorted(dropped.items()) if s == source}
            for source in passages
        },
    )


def _unique_lines(
    passages: Iterable[Passage],
    source_of: Mapping[str, str],
    held_out: set[str],
    dropped: Counter[tuple[str, str]],
) -> list[Line]:
    """Cleans passages into lines, each of which occurs once and is not held out."""
    seen: set[str] = set()
    lines = []
    for passage in passages:
        source = source_of[passage.key]
        for text in clean_lines(passage.text):
            if text in seen:
                dropped[source, "duplicate"] += 1
            elif comparable(text) in held_out:
                dropped[source, "held_out"] += 1
            else:
                seen.add(text)
                lines.append(Line(text, passage.group, source, passage.is_prose))
    return lines


def _grouped(lines: Sequence[Line]) -> list[list[Line]]:
    """Cuts lines into documents: a section of prose, or some 600 characters."""
    documents: list[list[Line]] = []
    for _, group in groupby(lines, key=lambda line: line.group):
        document: list[Line] = []
        for line in group:
            size = sum(len(other.text) for other in document)
            if document and not line.is_prose and size >= DOCUMENT_CHARACTERS:
                documents.append(document)
                document = []
            document.append(line)
        documents.append(document)
    return documents


def _without_leaks(
    lines: Sequence[Line], guard: LeakGuard, dropped: Counter[tuple[str, str]]
) -> list[list[Line]]:
    """Takes out what repeats held-out prose: words of lines, then whole documents.

    A shingle of a document may lie across a line break, where no line alone has it.
    """
    kept = []
    for line in lines:
        pieces = guard.cut(line.text)
        if pieces != [line.text]:
            dropped[line.source, "leak"] += 1
        kept += [line._replace(text=piece) for piece in pieces]
    documents = []
    for document in _grouped(kept):
        if guard.leaks(_join(document)):
            dropped[document[0].source, "leak"] += len(document)
        else:
            documents.append(document)
    return documents


def _join(document: Sequence[Line]) -> str:
    return "\n".join(line.text for line in document)
