"""Reads a folder of `LANG.txt` files: anyone's own text."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from mtmoe.errors import CorpusError, UnknownNameError
from mtmoe.languages import Language, language


@dataclasses.dataclass(frozen=True)
class LanguageText:
    """The text of one file.

    Attributes:
      language: what the file's name stands for.
      file_name: the file's name.
      text: its content, without white space at either end.
    """

    language: Language
    file_name: str
    text: str


def read_text_folder(directory: Path) -> tuple[LanguageText, ...]:
    """Reads all `LANG.txt` of a folder, in the order of their languages' codes.

    LANG is any name `mtmoe.languages` knows: `he.txt`, `iw.txt` and `heb.txt` are all
    Hebrew.

    Raises:
      CorpusError: no such folder, no such files, two files for one language, or a file
        that is empty or not UTF-8.
      UnknownNameError: a file's name is no language.
    """
    if not directory.is_dir():
        raise CorpusError(f"--text_dir: there is no folder {directory}")
    paths = sorted(directory.glob("*.txt"))
    if not paths:
        raise CorpusError(
            f"--text_dir: {directory} has no LANG.txt files, such as de.txt or sw.txt"
        )
    by_code: dict[str, LanguageText] = {}
    for path in paths:
        found = _read(path)
        other = by_code.setdefault(found.language.code, found)
        if other is not found:
            raise CorpusError(
                f"{directory}: {other.file_name} and {found.file_name} are both "
                f"{found.language.name}; join them into one file"
            )
    return tuple(by_code[code] for code in sorted(by_code))


def _read(path: Path) -> LanguageText:
    try:
        meant = language(path.stem)
    except UnknownNameError as error:
        raise CorpusError(f"{path}: {error}; name each file LANG.txt") from error
    try:
        text = path.read_bytes().decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise CorpusError(
            f"{path} is not UTF-8: byte {error.object[error.start]:#04x} at offset "
            f"{error.start}; convert it, e.g. with: iconv -f latin1 -t utf-8"
        ) from error
    except OSError as error:
        raise CorpusError(f"{path} cannot be read: {error.strerror}") from error
    if not text:
        raise CorpusError(f"{path} is empty")
    return LanguageText(meant, path.name, text)
