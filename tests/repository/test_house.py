"""The house: modules of a readable size, no circle among them, all rooms on the map."""

from __future__ import annotations

import ast
import graphlib
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MOST_LINES, MEDIAN_LINES = 400, 140


def modules() -> dict[str, Path]:
    """Every module of the product by its name."""
    found = {}
    for path in (ROOT / "mtmoe").rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts).removesuffix(".__init__")] = path
    return found


MODULES = modules()


def imports(module: str) -> Iterator[str]:
    """The modules that one imports, in functions and for types too."""
    for node in ast.walk(ast.parse(MODULES[module].read_text("utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [n if n in MODULES else node.module for n in names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        yield from (name for name in names if name in MODULES and name != module)


def test_no_module_imports_itself_by_way_of_others() -> None:
    sorter = graphlib.TopologicalSorter({m: set(imports(m)) for m in MODULES})
    try:
        sorter.prepare()
    except graphlib.CycleError as error:
        pytest.fail(f"a circle of imports: {' -> '.join(error.args[1])}")


def test_modules_are_of_a_readable_size() -> None:
    lines = {
        str(path.relative_to(ROOT)): len(path.read_text("utf-8").splitlines())
        for path in [*MODULES.values(), *(ROOT / "tasks").rglob("*.py")]
        if path.name != "__init__.py"
    }
    long = {path: count for path, count in lines.items() if count > MOST_LINES}
    assert not long
    assert statistics.median(lines.values()) <= MEDIAN_LINES


def test_every_room_says_what_it_is_and_is_on_the_map() -> None:
    page = (ROOT / "docs" / "design" / "map.md").read_text("utf-8")
    picture = (ROOT / "docs" / "images" / "map.svg").read_text("utf-8")
    top = [p for p in (ROOT / "mtmoe").iterdir() if (p / "__init__.py").is_file()]
    rooms = [
        p for p in (ROOT / "mtmoe/data").iterdir() if (p / "__init__.py").is_file()
    ]
    for room in [*top, *rooms]:
        docstring = ast.get_docstring(ast.parse((room / "__init__.py").read_text()))
        assert docstring and len(docstring) > 10, room
        assert f"`{room.name}" in page, f"{room} is not in docs/design/map.md"
        assert room.name in picture, f"{room} is not in docs/images/map.svg"


def test_data_holds_rooms_and_no_loose_module() -> None:
    loose = [path.name for path in (ROOT / "mtmoe/data").glob("*.py")]
    assert loose == ["__init__.py"]
