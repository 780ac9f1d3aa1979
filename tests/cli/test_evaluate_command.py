from pathlib import Path

import pytest

from mtmoe.cli import main as command_line
from mtmoe.evaluate import run


@pytest.fixture
def requests(monkeypatch):
    """What the command asked to be evaluated."""
    asked = []

    def evaluate(request):
        asked.append(request)
        return [Path("out/step_1"), Path("out/step_2")]

    monkeypatch.setattr(run, "evaluate", evaluate)
    return asked


def test_flags_become_a_request(requests, capsys):
    flags = ["--model_dir=m", "--checkpoint=all", "--text_dir=t", "--output_dir=o"]
    assert command_line.main(["evaluate", *flags]) == 0
    assert requests == [
        run.EvaluationRequest(Path("m"), None, "all", Path("t"), Path("o"))
    ]
    assert capsys.readouterr().out == "out/step_1\nout/step_2\n"


def test_flags_of_own_metrics(requests):
    flags = [
        "--model_dir=m",
        "--max_examples=3",
        "--noown_metrics",
        "--strategy=greedy",
    ]
    assert command_line.main(["evaluate", *flags]) == 0
    assert requests == [
        run.EvaluationRequest(
            Path("m"), max_examples=3, own_metrics=False, strategy="greedy"
        )
    ]


def test_defaults(requests):
    assert command_line.main(["evaluate", "--model_dir=m"]) == 0
    assert requests == [run.EvaluationRequest(Path("m"))]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "usage: mtmoe evaluate"),
        (["--model_dir=m", "extra"], "usage: mtmoe evaluate"),
        (["--model_dir=m", "--mixture=x", "--text_dir=t"], "not both"),
        (["--model_dir=m", "--chekpoint=best"], "--checkpoint"),
    ],
)
def test_bad_flags(requests, flags, message, capsys):
    assert command_line.main(["evaluate", *flags]) == 2
    assert message in capsys.readouterr().err
    assert requests == []


def test_an_unknown_folder_is_an_error_without_traceback(tmp_path, capsys):
    assert command_line.main(["evaluate", f"--model_dir={tmp_path}"]) == 2
    error = capsys.readouterr().err
    assert "mtmoe train" in error and "Traceback" not in error


def test_help_has_an_example(capsys):
    assert command_line.main(["evaluate", "--help"]) == 0
    assert "mtmoe evaluate --model_dir=runs/quickstart" in capsys.readouterr().out
