from pathlib import Path

import pytest

from mtmoe.cli import main as command_line
from mtmoe.evaluate import predictions

FLAGS = ["--model_dir=m", "--input_file=i", "--output_file=o"]


@pytest.fixture
def more():
    """Further lines of an answer, to be filled by a test."""
    return []


@pytest.fixture
def calls(monkeypatch, more):
    asked = []

    def predict(request):
        asked.append(request)
        return [
            predictions.AnsweredLine(1, "alle sind frei", {0: "sind", 1: None}),
            predictions.AnsweredLine(3, "huru", {0: "huru"}),
            *more,
        ]

    monkeypatch.setattr(predictions, "predict", predict)
    return asked


def test_says_what_it_filled_in(calls, capsys):
    assert command_line.main(["predict", *FLAGS]) == 0
    assert calls == [
        predictions.PredictionRequest(Path("m"), Path("i"), Path("o"), "latest")
    ]
    assert capsys.readouterr().out == (
        "1: alle sind frei\n"
        "    <extra_id_0> 'sind'\n"
        "    <extra_id_1> (left out by the model)\n"
        "3: huru\n"
        "    <extra_id_0> 'huru'\n"
        "o\n"
    )


def test_a_bad_line_makes_the_exit_status(calls, more, capsys):
    more.append(predictions.AnsweredLine(4, "", problem="i:4: too long"))
    assert command_line.main(["predict", *FLAGS, "--task=mine"]) == 2
    assert calls[0].task == "mine"
    printed = capsys.readouterr()
    assert printed.err.endswith("i:4: too long\n") and printed.out.endswith("\no\n")


def test_flags_of_a_strategy(calls):
    chosen = ["--strategy=sampling", "--top_p=0.5", "--top_k=3", "--seed=9"]
    assert command_line.main(["predict", *FLAGS, *chosen]) == 0
    [request] = calls
    assert request.strategy == "sampling" and request.seed == 9
    assert request.strategy_fields == {"top_p": 0.5, "top_k": 3}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (FLAGS[:2], "usage: mtmoe predict"),
        ([*FLAGS, "extra"], "usage: mtmoe predict"),
        ([*FLAGS, "--checkpoint=all"], "give latest, best or a step"),
    ],
)
def test_bad_flags(calls, flags, message, capsys):
    assert command_line.main(["predict", *flags]) == 2
    assert message in capsys.readouterr().err
    assert calls == []
