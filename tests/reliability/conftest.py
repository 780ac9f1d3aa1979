"""Writes docs/reliability.md out of what the tests of this folder try.

`make reliability` writes the page anew. In any other run each row that a test tries
must stand in the page, so that the page says what the tests hold and nothing else.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

_PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
_WRITING = "MTMOE_WRITE_RELIABILITY" in os.environ
_KINDS = (
    "values",
    "tables and files",
    "vocabulary",
    "bytes",
    "languages",
    "coverage",
    "scores",
    "numbers",
    "configuration",
    "composition",
    "runs and checkpoints",
)
_HEAD = """# What is refused, counted or read: flawed input and what mtmoe makes of it

Written by `make reliability` out of the tests in `tests/reliability/`; every line was
tried by the run that wrote it. Inputs taken from public reports of other projects name
them. "N generated" are inputs that property tests drew at random.

| kind | input | outcome |
|---|---|---|
"""

Tried = Callable[[str, str, str], None]
_rows: set[tuple[str, str, str]] = set()


@pytest.fixture
def tried() -> Tried:
    """Returns `tried(kind, input, outcome)`, to be called when a case has passed.

    `kind` is one of the page's kinds, `input` what was given, in words, with the public
    report it is from where there is one; `outcome` what mtmoe did with it. None may
    change from run to run.
    """

    def record(kind: str, given: str, outcome: str) -> None:
        assert kind in _KINDS, f"{kind!r} is no kind of the page: {_KINDS}"
        row = (kind, _cell(given), _cell(outcome))
        if _WRITING:
            _rows.add(row)
        else:
            assert _line(row) in _lines_of_page(), (
                f"docs/reliability.md lacks {_line(row)!r}; run: make reliability"
            )

    return record


@pytest.fixture(scope="session", autouse=True)
def _page() -> Iterator[None]:
    yield
    if _WRITING:
        ordered = sorted(_rows, key=lambda row: (_KINDS.index(row[0]), row))
        _PAGE.write_text(_HEAD + "".join(map(_line, ordered)), encoding="utf-8")


def _cell(text: str) -> str:
    # Of the names that are near, the first: others depend on what else is registered.
    text = re.sub(r"(did you mean \S+?)( or \S+)+\?", r"\1 ...?", text)
    return " ".join(text.split()).replace("|", "\\|")


def _line(row: tuple[str, str, str]) -> str:
    return f"| {' | '.join(row)} |\n"


def _lines_of_page() -> list[str]:
    return _PAGE.read_text(encoding="utf-8").splitlines(keepends=True)
