"""`mtmoe tasks`, and the page that teaches how to register a task, word for word."""

from __future__ import annotations

import csv
import io
import re
import shlex
import sys
from pathlib import Path

import pytest
import seqio

from mtmoe.cli.main import main
from mtmoe.data.mixing.rates import task_rates
from mtmoe.data.tasks.registry import get_mixture_or_task

PAGE = Path(__file__).parents[2] / "docs" / "register_a_task.md"
BYTES = "--gin_param=configured_vocabulary.factory=@byte_vocabulary"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)


@pytest.fixture
def users_folder(tmp_path, monkeypatch):
    """A folder with the files of the page, as a user has it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MTMOE_DATA", raising=False)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    [table] = blocks("csv")
    for split in ("train", "validation"):
        (tmp_path / f"sentiment.{split}.csv").write_text(table, "utf-8")
    (tmp_path / "my_tasks.py").write_text("".join(blocks("python")), "utf-8")
    yield tmp_path
    sys.modules.pop("my_tasks", None)
    for registry, name in (
        (seqio.MixtureRegistry, "my_mixture"),
        (seqio.TaskRegistry, "my_sentiment"),
    ):
        if name in registry.names():
            registry.remove(name)


def test_the_page_of_ten_lines(users_folder, capsys):
    code = blocks("python")[0].splitlines()
    assert len([line for line in code if line]) <= 10
    commands = [
        shlex.split(line)[1:]
        for line in PAGE.read_text("utf-8").splitlines()
        if line.startswith("mtmoe tasks")
    ]
    assert [command[1] for command in commands] == ["verify", "preview", "show"]
    outputs = []
    for command in commands:
        assert main([*command, BYTES]) == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0].count("ok   my_sentiment") == 2
    assert "accuracy 100" in outputs[0]
    assert "inputs   mood: Chakula kilikuwa kitamu sana\n" in outputs[1]
    assert "targets  furaha\n" in outputs[1]
    [line] = [n for n, text in enumerate(code, 1) if text.startswith("register_task(")]
    assert re.search(rf"registered at +{users_folder}/my_tasks.py:{line}\n", outputs[2])
    assert "sw (Swahili)" in outputs[2]
    rates = task_rates(get_mixture_or_task("my_mixture"))
    assert rates["my_sentiment"] / sum(rates.values()) == pytest.approx(0.1)


def test_verify_tells_what_is_wrong_and_where(users_folder, capsys):
    path = users_folder / "sentiment.validation.csv"
    path.write_text("review,feeling\nSawa,furaha\n", "utf-8")
    arguments = ["tasks", "verify", "--task_module=my_tasks", BYTES]
    assert main(arguments) == 1
    output = capsys.readouterr().out
    assert "ok   my_sentiment train" in output
    assert f"FAIL my_sentiment validation: {path.name}:2: unknown field" in output


def test_verify_shows_each_problem(users_folder, capsys):
    (users_folder / "sentiment.train.csv").write_text("review,mood\nSawa,\n", "utf-8")
    arguments = ["tasks", "verify", "--task_module=my_tasks", "--split=train", BYTES]
    assert main(arguments) == 1
    assert "targets are empty in 1 of 1 examples" in capsys.readouterr().out


def test_list(capsys):
    assert main(["tasks", "list", "embedded.span_corruption"]) == 0
    output = capsys.readouterr().out
    assert "embedded.span_corruption.<language>  101 " in output
    assert "\n101 tasks (1 with their languages put together" in output
    arguments = ["tasks", "list", "embedded.span_corruption", "--language=he"]
    assert main([*arguments, "--format=names"]) == 0
    assert capsys.readouterr().out == "embedded.span_corruption.iw\n"
    assert main([*arguments, "--format=csv"]) == 0
    [row] = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert row["language"] == "iw"
    assert re.search(r"span_corruption\.py:\d+$", row["registered_at"])


def test_show_and_preview_of_a_mixture(capsys):
    assert main(["tasks", "show", "embedded.span_corruption"]) == 0
    output = capsys.readouterr().out
    assert re.search(r"members .* and 89 more", output)
    lengths = ["--inputs=64", "--targets=32"]
    arguments = ["tasks", "preview", "embedded.span_corruption", "--packed", *lengths]
    assert main([*arguments, "--num_examples=2", BYTES]) == 0
    output = capsys.readouterr().out
    assert output.count("┌ embedded.span_corruption.") == 2
    assert "of 64 filled" in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "usage: mtmoe tasks list"),
        (["lst"], "did you mean list"),
        (["show"], "usage: mtmoe tasks show NAME"),
        (["show", "embedded.span_corruption.swa"], "span_corruption.sw"),
        (["list", "--family=translations"], "did you mean translation"),
        (["list", "a", "b"], "usage"),
        (["verify"], "--task_module"),
        (["list", "--task_module=nowhere_at_all"], "nowhere_at_all"),
        (["preview", "embedded.span_corruption"], "embedded.span_corruption."),
    ],
)
def test_mistakes(arguments, message, capsys):
    assert main(["tasks", *arguments]) == 2
    assert message in capsys.readouterr().err
