"""Writes the BUILD.bazel files from the tree, or checks that they fit it.

One room, one `py_library`; its dependencies are the rooms it imports. One test file,
one `pytest_test`. The gin files are one `filegroup`. Run it as `make build-files` after
adding, moving or removing a file; docs/bazel.md tells how the targets are used.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

HEADER = "# Written by `make build-files`; do not edit.\n"
PUBLIC = 'package(default_visibility = ["//visibility:public"])\n'
LOAD_PYTEST = 'load("//bazel:pytest.bzl", "pytest_test")\n'

# Tests of the checkout as a whole: they need files that no sandbox holds.
CHECKOUT_TESTS = "tests/repository"

# Files beside the code that tests or the code itself read.
ROOT_FILES = ("pyproject.toml",)


def source_files(root: Path = ROOT) -> list[str]:
    """Returns every file that must be in exactly one target, as paths in the tree."""
    found = [
        path
        for folder in ("bazel", "benchmarks", "launch", "mtmoe", "tasks", "tests")
        for path in (root / folder).rglob("*.py")
    ]
    found += (root / "gin").rglob("*.gin")
    return sorted(path.relative_to(root).as_posix() for path in found)


def room_of(path: str) -> str:
    """Returns the folder whose BUILD.bazel holds a source file.

    Args:
      path: a member of `source_files()`.
    """
    parts = path.split("/")[:-1]
    return "/".join(parts[:2]) if parts[0] in ("mtmoe", "tests") else parts[0]


def data_files(room: str, root: Path = ROOT) -> list[str]:
    """Returns the files of a room that its code reads, such as page templates."""
    if not room.startswith("mtmoe/"):
        return []
    return sorted(
        path.relative_to(root / room).as_posix()
        for path in (root / room).rglob("*")
        if path.is_file()
        and path.name != "BUILD.bazel"
        and path.suffix not in (".py", ".pyc")
    )


def imported_modules(path: Path) -> Iterator[str]:
    """Yields the dotted names a file imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def dependencies(room: str, files: Iterable[str], root: Path = ROOT) -> list[str]:
    """Returns the labels of the rooms that a room's files import.

    Args:
      room: folder of the room.
      files: its source files.
      root: folder of the tree.
    """
    labels = set()
    for file in files:
        for module in imported_modules(root / file):
            parts = module.split(".")
            if parts[0] != "mtmoe":
                continue
            labels.add("mtmoe")
            if len(parts) > 1 and parts[1] in ("launch", "tasks"):
                labels.add(parts[1])
            elif len(parts) > 1 and (root / "mtmoe" / parts[1]).is_dir():
                labels.add(f"mtmoe/{parts[1]}")
    return [f"//{label}" for label in sorted(labels - {room})]


def rule(kind: str, **attributes: object) -> str:
    """Returns one rule in the formatting of buildifier."""
    lines = [f"{kind}("]
    for name, value in attributes.items():
        if isinstance(value, str):
            lines.append(f'    {name} = "{value}",')
        elif isinstance(value, list) and len(value) == 1:
            lines.append(f'    {name} = ["{value[0]}"],')
        elif isinstance(value, list) and value:
            lines += [f"    {name} = [", *(f'        "{v}",' for v in value), "    ],"]
    return "\n".join([*lines, ")"]) + "\n"


def library(room: str, files: list[str], root: Path = ROOT) -> str:
    """Returns the `py_library` of a room."""
    return rule(
        "py_library",
        name=room.rpartition("/")[2],
        srcs=[file.removeprefix(room + "/") for file in files],
        data=data_files(room, root),
        deps=dependencies(room, files, root),
    )


def build_files(root: Path = ROOT) -> dict[str, str]:
    """Returns what each BUILD.bazel of the tree should hold, by its path."""
    rooms: dict[str, list[str]] = {}
    for file in source_files(root):
        rooms.setdefault(room_of(file), []).append(file)
    contents: dict[str, str] = {}
    for room, files in rooms.items():
        tests = [f for f in files if f.rpartition("/")[2].startswith("test_")]
        if room == "gin":
            srcs = [file.removeprefix("gin/") for file in files]
            blocks = [HEADER, PUBLIC, rule("filegroup", name="gin", srcs=srcs)]
        elif room == "bazel":
            exports = 'exports_files(["run_pytest.py"])\n'
            others = [file for file in files if file != "bazel/run_pytest.py"]
            blocks = [HEADER, PUBLIC, exports, library(room, others, root)]
        elif not tests or room == CHECKOUT_TESTS:
            blocks = [HEADER, PUBLIC, library(room, files, root)]
        else:
            blocks = _test_blocks(room, tests, sorted(set(files) - set(tests)), root)
        contents[f"{room}/BUILD.bazel"] = "\n".join(blocks)
    everything = rule(
        "py_library",
        name="everything",
        data=[*ROOT_FILES, *(["//gin"] if "gin" in rooms else [])],
        deps=[
            f"//{room}"
            for room in sorted(rooms)
            if room.split("/")[0] in ("launch", "mtmoe", "tasks")
        ],
    )
    note = (
        "# Configuration and tasks are loaded by name, so tests depend on all rooms.\n"
    )
    contents["BUILD.bazel"] = "\n".join([HEADER, PUBLIC, note + everything])
    return contents


def _test_blocks(
    room: str, tests: list[str], support: list[str], root: Path
) -> list[str]:
    blocks = [HEADER, LOAD_PYTEST, PUBLIC]
    deps = {"//:everything", "//tests", "//tests/oracles"}
    if support:
        blocks.append(library(room, support, root))
        deps.add(f"//{room}")
    for test in tests:
        name = test.removeprefix(room + "/")
        label = name.removesuffix(".py")
        blocks.append(rule("pytest_test", name=label, srcs=[name], deps=sorted(deps)))
    return blocks


def differences(root: Path = ROOT) -> list[str]:
    """Returns the BUILD.bazel files that are missing, stale or belong to no room."""
    wanted = build_files(root)
    found = {
        path.relative_to(root).as_posix(): path.read_text(encoding="utf-8")
        for top in ("", *{file.split("/")[0] for file in source_files(root)})
        for path in (root / top).glob("**/BUILD.bazel" if top else "BUILD.bazel")
        if "offline" not in path.parts
    }
    return sorted(
        path
        for path in wanted.keys() | found.keys()
        if wanted.get(path) != found.get(path)
    )


def main() -> int:
    """Writes the files, or with `--check` returns 1 if that would change any."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing")
    stale = differences()
    if parser.parse_args().check:
        for path in stale:
            print(f"{path} does not fit the tree; run: make build-files")
        return 1 if stale else 0
    wanted = build_files()
    for path in stale:
        if path in wanted:
            (ROOT / path).write_text(wanted[path], encoding="utf-8")
        else:
            (ROOT / path).unlink()
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
