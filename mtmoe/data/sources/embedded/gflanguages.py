"""Type specimens of Google Fonts (`gflanguages`): short prose in all 101 languages.

Most are excerpts of the Declaration of Human Rights, cut to several lengths; a line
that is a piece of a longer one is left out here.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from mtmoe.data.sources.embedded.package import (
    Passage,
    SourcePackage,
    locate_python_package,
)
from mtmoe.languages import language

_FIELD = re.compile(r'^  (styles|tester|specimen_\d+): ("(?:[^"\\]|\\.)*")$', re.M)
# Files not called by mC4's code and script.
_NAMES = {"iw": "he_Hebr", "ms": "zlm_Latn", "no": "nb_Latn"}


def _files(root: Path, code: str) -> tuple[Path, ...]:
    name = _NAMES.get(code, f"{code}_{language(code).script}")
    return (root / "data" / "languages" / f"{name}.textproto",)


def _read(root: Path, code: str) -> Iterator[Passage]:
    (path,) = _files(root, code)
    lines: dict[str, None] = {}
    for _, literal in _FIELD.findall(path.read_text(encoding="utf-8")):
        # Text-format strings use the escapes of Python's.
        lines.update(dict.fromkeys(ast.literal_eval(literal).splitlines()))
    whole = [
        line
        for line in lines
        if not any(line != other and line in other for other in lines)
    ]
    for number, line in enumerate(whole):
        yield Passage(f"gflanguages/{number}", line, group="gflanguages", is_prose=True)


PACKAGE = SourcePackage(
    name="gflanguages",
    mend="pip install gflanguages",
    is_optional=False,
    locate=lambda: locate_python_package("gflanguages", "gflanguages"),
    files=_files,
    read=_read,
)
