"""What is shown is right, and no more of it than somebody reads."""

from __future__ import annotations

import io

import pytest

from mtmoe.progress import duration
from mtmoe.train.progress import Chrono, TrainingProgress


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


METRICS = {"loss": 4.25, "tokens_per_second": 1850.4, "dropped_fraction": 0.031}


def test_chrono_counts_training_only() -> None:
    clock = Clock()
    chrono = Chrono(10.0, clock)
    clock.now += 5  # not started
    assert chrono.seconds == 10
    chrono.start()
    clock.now += 3
    with chrono.pause():
        clock.now += 50
        assert chrono.seconds == 13
    clock.now += 1
    assert chrono.seconds == 14


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (59.6, "1:00"), (123, "2:03"), (3600, "1:00:00"), (7325, "2:02:05")],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_in_a_file_a_line_every_ten_seconds_and_the_last() -> None:
    clock, stream = Clock(), io.StringIO()
    progress = TrainingProgress(100, stream, clock)
    progress.metrics(METRICS)
    for step in range(1, 101):
        clock.now += 1
        progress.step(step, elapsed=step)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 11
    assert lines[0].startswith("step 1/100   1%  loss 4.250  1,850 tokens/s (3.1% dr")
    assert lines[-1].endswith("1:40 elapsed  0:00 left")
    assert "\r" not in stream.getvalue()


def test_on_a_terminal_one_line_is_refreshed() -> None:
    clock, stream = Clock(), Terminal()
    progress = TrainingProgress(10, stream, clock)
    for step in range(1, 11):
        clock.now += 0.25
        progress.step(step, elapsed=step)
    progress.say("done")
    text = stream.getvalue()
    assert text.count("\r") == 6 and text.count("\n") == 2
    assert text.endswith("0:10 elapsed  0:00 left\ndone\n")


def test_a_dense_model_shows_no_drops() -> None:
    stream = io.StringIO()
    progress = TrainingProgress(10, stream)
    progress.metrics({"loss": 1.0, "tokens_per_second": 10.0})
    progress.step(10, 1.0)
    assert "dropped" not in stream.getvalue()


@pytest.mark.parametrize(
    ("stream", "expected"),
    [(io.StringIO(), "reading: 2.5 s\n"), (Terminal(), "reading ... 2.5 s\n")],
)
def test_phases_say_how_long_they_took(stream: io.StringIO, expected: str) -> None:
    clock = Clock()
    with TrainingProgress(1, stream, clock).phase("reading"):
        clock.now += 2.5
    assert stream.getvalue() == expected


def test_a_failed_phase_leaves_the_error_a_line_of_its_own() -> None:
    stream = Terminal()
    with pytest.raises(KeyError), TrainingProgress(1, stream).phase("reading"):
        raise KeyError
    assert stream.getvalue() == "reading ...\n"
