"""The command line: quick, helpful, no traceback for a mistake of the user's."""

from __future__ import annotations

import errno
import subprocess
import sys
import time
import types

import pytest
from absl import flags

from mtmoe import __version__
from mtmoe.cli import main as cli
from mtmoe.errors import CheckpointError, CorpusError


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A command `grow` whose behaviour a test sets."""
    module = types.ModuleType("mtmoe.cli.grow", "Grows.\n\n    mtmoe grow --height=3\n")

    def define_flags() -> None:
        flags.DEFINE_integer("height", 3, "how high", lower_bound=1)

    module.define_flags = define_flags
    module.run = lambda argv: 0
    monkeypatch.setitem(sys.modules, "mtmoe.cli.grow", module)
    monkeypatch.setitem(cli.COMMANDS, "grow", "grow a tree")
    return module


def test_help_is_quick_and_imports_nothing_heavy() -> None:
    code = (
        "import sys; from mtmoe.cli.main import main; main(['--help'])\n"
        "heavy = {'tensorflow', 'numpy', 'seqio', 'gin'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    seconds = []
    for _ in range(3):
        started = time.monotonic()
        result = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True
        )
        seconds.append(time.monotonic() - started)
        assert result.returncode == 0, result.stderr
    assert min(seconds) < 0.5
    for name, line in cli.COMMANDS.items():
        assert f"  {name:11}  {line}\n" in result.stdout


def test_without_a_command_the_overview_and_status_2(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main([]) == 2
    assert "usage: mtmoe COMMAND" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"mtmoe {__version__}\n"


def test_every_listed_command_exists_and_explains_itself(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in cli.COMMANDS:
        assert cli.main([name, "--help"]) == 0
        text = capsys.readouterr().out
        assert f"mtmoe {name}" in text and "flags:" in text


def test_unknown_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["trian"]) == 2
    assert "unknown command 'trian'; did you mean train" in capsys.readouterr().err


def test_flags_reach_the_command_and_leave_no_trace(command) -> None:
    seen = []
    command.run = lambda argv: seen.append((argv, flags.FLAGS.height)) or 7
    assert cli.main(["grow", "--height=5", "oak"]) == 7
    assert cli.main(["grow"]) == 7
    assert seen == [(["grow", "oak"], 5), (["grow"], 3)]
    assert "height" not in flags.FLAGS


def test_help_shows_docstring_and_flags(
    command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["grow", "--help"]) == 0
    text = capsys.readouterr().out
    assert "    mtmoe grow --height=3\n" in text
    assert "--height: how high (default 3)" in text


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--heigth=5"], "unknown flag --heigth of mtmoe grow; did you mean --height?"),
        (["--zzz"], "it has --height"),
        (["--height=tall"], "--height=tall"),
        (["--height=0"], "lower bound"),
    ],
)
def test_bad_flags(
    command, arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["grow", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("mtmoe: ") and "Traceback" not in error
    assert expected.replace("lower bound", "") in error


@pytest.mark.parametrize(
    ("raised", "status", "message"),
    [
        (CorpusError("no text in xx"), 2, "mtmoe: no text in xx\n"),
        (KeyboardInterrupt(), 130, "\nmtmoe: interrupted\n"),
    ],
)
def test_errors_of_the_user_are_one_message(
    command, raised, status, message, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(argv: list[str]) -> int:
        raise raised

    command.run = run
    assert cli.main(["grow"]) == status
    assert capsys.readouterr().err == message


def test_the_examples_of_every_help_keep_their_lines(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in cli.COMMANDS:
        assert cli.main([name, "--help"]) == 0
        docstring = capsys.readouterr().out.partition("\nflags:")[0]
        for line in docstring.splitlines():
            assert len(line) <= 88 and " " * 8 not in line.strip(), line
            assert line.count("mtmoe " + name) <= 1, line


@pytest.mark.parametrize(
    ("raised", "status", "message"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "m/a.gin"),
            74,
            "m/a.gin: No",
        ),
        (
            OSError(errno.EIO, "Input/output error", "m/b"),
            74,
            "m/b: Input/output error",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "c"), 2, "c: Permission"),
        (FileNotFoundError(errno.ENOENT, "No such file", "d"), 2, "d: No such file"),
        (OSError("what a library says"), 2, "what a library says"),
    ],
)
def test_failures_of_files_are_one_line(
    command, raised, status, message, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(argv: list[str]) -> int:
        raise raised

    command.run = run
    assert cli.main(["grow"]) == status
    error = capsys.readouterr().err
    assert error.startswith(f"mtmoe: {message}") and error.count("\n") == 1


def test_a_full_disk_behind_an_error_of_ours_is_told_from_a_mistake(command) -> None:
    def run(argv: list[str]) -> int:
        try:
            raise OSError(errno.ENOSPC, "No space left on device", "m/a")
        except OSError as error:
            raise CheckpointError("m/a could not be written") from error

    command.run = run
    assert cli.main(["grow"]) == 74


def test_errors_of_ours_keep_their_traceback(command) -> None:
    def run(argv: list[str]) -> int:
        raise ZeroDivisionError

    command.run = run
    with pytest.raises(ZeroDivisionError):
        cli.main(["grow"])
    assert "height" not in flags.FLAGS


@pytest.mark.parametrize("name", ["evaluate", "predict"])
def test_commands_of_one_process_refuse_to_be_one_of_several(name, monkeypatch, capsys):
    monkeypatch.setenv("MTMOE_COORDINATOR", "node1:1234")
    monkeypatch.setenv("MTMOE_NUM_PROCESSES", "4")
    monkeypatch.setenv("MTMOE_PROCESS_ID", "1")
    arguments = ["--model_dir=m"]
    if name == "predict":
        arguments += ["--input_file=i", "--output_file=o"]
    assert cli.main([name, *arguments]) == 2
    assert (
        f"mtmoe {name} runs in one process, but MTMOE_COORDINATOR says that it is "
        "one of 4. Start it once"
    ) in capsys.readouterr().err
