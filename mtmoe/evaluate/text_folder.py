"""Reads a folder of `LANG.txt` files: anyone's own text."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from mtmoe.data.sources.file_names import counts, unpacked_name
from mtmoe.data.sources.files import CONTAINERS
from mtmoe.data.sources.text_lines import whole_text
from mtmoe.errors import CorpusError, UnknownNameError
from mtmoe.languages import Language, language

_DATA = re.compile(rf"\.(?:{'|'.join(CONTAINERS)})(?:\.gz|\.zst)?$", re.IGNORECASE)
_TEXT = ".txt"


@dataclasses.dataclass(frozen=True)
class LanguageText:
    """What a file's name stands for, and its text without white space at either end."""

    language: Language
    file_name: str
    text: str


def read_text_folder(directory: Path) -> tuple[LanguageText, ...]:
    """Reads all `LANG.txt` of a folder, in the order of their languages' codes.

    LANG is any name `mtmoe.languages` knows: `he.txt`, `IW.TXT` and `heb.txt.gz` are
    all Hebrew. Which files count is the rule of `file_names`; folders inside do not.

    Raises:
      CorpusError: no such folder, no such files, two files for one language, data that
        is no text file, or a file that is empty or not UTF-8.
      UnknownNameError: a file's name is no language.
    """
    if not directory.is_dir():
        raise CorpusError(f"--text_dir: there is no folder {directory}")
    names = sorted(path.name for path in directory.iterdir() if path.is_file())
    data = [name for name in names if counts(name) and _DATA.search(name)]
    if not data:
        raise CorpusError(
            f"--text_dir: {directory} has no LANG.txt files, such as de.txt or sw.txt"
        )
    others = [name for name in data if not _stem(name)]
    if others:
        raise CorpusError(
            f"--text_dir: {directory} holds {', '.join(others[:5])}; what is read are "
            "LANG.txt files, plain or with .gz or .zst behind: convert them, or move "
            "them elsewhere"
        )
    by_code: dict[str, LanguageText] = {}
    for name in data:
        found = _read(directory / name)
        other = by_code.setdefault(found.language.code, found)
        if other is not found:
            raise CorpusError(
                f"{directory}: {other.file_name} and {found.file_name} are both "
                f"{found.language.name}; join them into one file"
            )
    return tuple(by_code[code] for code in sorted(by_code))


def _stem(name: str) -> str:
    """Returns LANG of `LANG.txt`, "" for another kind of file."""
    plain = unpacked_name(name)
    return plain[: -len(_TEXT)] if plain.lower().endswith(_TEXT) else ""


def _read(path: Path) -> LanguageText:
    try:
        meant = language(_stem(path.name))
    except UnknownNameError as error:
        raise CorpusError(f"{path}: {error}; name each file LANG.txt") from error
    text = whole_text(str(path)).strip()
    if not text:
        raise CorpusError(f"{path} is empty")
    return LanguageText(meant, path.name, text)
