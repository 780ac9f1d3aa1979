"""Rows of Python functions and their docstrings, out of the standard library."""

from __future__ import annotations

import ast
import sysconfig
import tokenize
import zlib
from collections.abc import Iterator
from pathlib import Path

from mtmoe.data.tasks.embedded.rows import Row

ORIGIN = "the Python standard library in use"
LICENCE = "PSF-2.0"

FILE_SHARE = 0.5
CODE_CHARACTERS = range(40, 601)
SUMMARY_CHARACTERS = range(15, 161)

# Not libraries: programs, copies of other projects, tests.
_LEFT_OUT = frozenset(
    "site-packages dist-packages test tests idle_test idlelib lib2to3 turtledemo "
    "ensurepip pydoc_data __pycache__".split()
)


def docstring_rows(_: str) -> Iterator[Row]:
    """Yields functions without their docstring, and its first sentence or line.

    Which functions there are depends on the version of Python.
    """
    root = Path(sysconfig.get_path("stdlib"))
    for path in sorted(root.rglob("*.py")):
        place = path.relative_to(root)
        is_chosen = zlib.crc32(place.as_posix().encode()) < FILE_SHARE * 2**32
        if is_chosen and _LEFT_OUT.isdisjoint(place.parts):
            with tokenize.open(path) as file:
                text = file.read()
            module = ".".join(place.with_suffix("").parts)
            for name, code, summary in _documented(text):
                question = f"summarise this Python function: {code}"
                key = f"python/{module}.{name}"
                yield key, {"inputs": question, "targets": summary}


def _documented(text: str) -> Iterator[tuple[str, str, str]]:
    """Name, code and summary of the functions of a module that are short enough."""
    lines = text.split("\n")  # as Python counts: a form feed ends none
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        docstring, end = ast.get_docstring(node), node.end_lineno
        if not docstring or len(node.body) < 2 or end is None:
            continue
        head = lines[node.lineno - 1 : node.body[0].lineno - 1]
        body = lines[node.body[0].end_lineno : end]
        indent = " " * node.col_offset
        code = "\n".join(line.removeprefix(indent) for line in (*head, *body))
        summary = " ".join(docstring.split("\n\n")[0].split())
        if len(code) in CODE_CHARACTERS and len(summary) in SUMMARY_CHARACTERS:
            yield node.name, code, summary
