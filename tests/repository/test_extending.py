"""docs/extending.md: every file of it is written out, every command of it runs.

The page's data are two texts in Swahili; what it registers is taken back.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import gin
import pytest
from registrations import undone

from mtmoe.checkpoint import store
from mtmoe.cli.main import main

PAGE = (Path(__file__).parents[2] / "docs" / "extending.md").read_text("utf-8")
FILES = re.findall(r"```(?:python|gin)\n(# (lab/\w+\.\w+)\n.*?)```", PAGE, re.DOTALL)
COMMANDS = re.findall(r"^mtmoe .*$", PAGE, re.MULTILINE)
PROVEN = ("source", "task", "objective", "metric", "router", "sublayer", "architecture")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder that the page's reader works in."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "lab").mkdir()
    (folder / "lab" / "__init__.py").touch()
    for text, name in FILES:
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "poems").mkdir()
    stanza = "Ukiona vyaelea vimeundwa. Haba na haba hujaza kibaba."
    for split in ("train", "validation"):
        (folder / "poems" / f"sw.{split}.txt").write_text(
            "\n\n".join([f"{stanza} {split} {i}" for i in range(20)]), encoding="utf-8"
        )
    with pytest.MonkeyPatch.context() as patch, undone():
        patch.chdir(folder)
        patch.syspath_prepend(folder)
        yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == "lab"]:
        del sys.modules[name]
    gin.clear_config()


def test_the_page_has_a_recipe_of_each_kind() -> None:
    for kind in (*PROVEN, "layout"):
        assert re.search(rf"^## An? {kind}$", PAGE, re.MULTILINE), kind
    assert len(COMMANDS) >= 7 and len(FILES) >= 9


@pytest.mark.parametrize("number", range(len(COMMANDS)))
def test_every_command_of_the_page_runs(
    number: int, lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, *arguments = shlex.split(COMMANDS[number])
    status = main(arguments)
    output = capsys.readouterr()
    assert status == 0, output.out + output.err
    if arguments[0] == "train":
        checkpoint = store.load(lab / "runs/lab/checkpoints", 2)
        shift = "decoder/layer_000/token_shift/shift"
        assert checkpoint.values[shift].shape == (16, 16)
        assert not any("router" in name for name in checkpoint.values)
