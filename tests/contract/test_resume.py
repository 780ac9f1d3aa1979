"""Interrupted and resumed equals uninterrupted, bit for bit, with real processes.

Of a decoder alone; in test_several_processes.py others are stopped and killed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny_training
from oracles.forked_commands import ForkedCommand

from mtmoe.checkpoint import store
from mtmoe.cli.main import main

TESTS = Path(__file__).resolve().parents[1]
STEPS = 200  # long enough to be caught in the middle


def train_command(folder: Path) -> list[str]:
    """Returns the arguments of `mtmoe` that train the tiny run."""
    gin_file = folder.parent / "tiny.gin"
    gin_file.write_text(tiny_training.DECODER_GIN)
    return [
        "train",
        f"--gin_file={gin_file}",
        f"--model_dir={folder}",
        f"--gin_param=train.steps={STEPS}",
        "--gin_param=train.log_every=10",
    ]


def environment() -> dict[str, str]:
    """Returns the variables of a command."""
    return dict(os.environ, PYTHONPATH=str(TESTS), TF_CPP_MIN_LOG_LEVEL="3")


def start(folder: Path) -> ForkedCommand:
    """Starts the tiny run in a process of its own."""
    return ForkedCommand(train_command(folder), folder.parent, environment())


def wait_for_step(folder: Path, step: int, process: ForkedCommand) -> None:
    """Waits until a checkpoint of at least `step` is there."""
    while max(store.steps(folder / "checkpoints"), default=0) < step:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.005)


def final_values(folder: Path) -> dict[str, bytes]:
    """Returns the bytes of every variable at the end."""
    values = store.load(folder / "checkpoints", STEPS).values
    return {name: value.tobytes() for name, value in values.items()}


@pytest.mark.slow
def test_ctrl_c_and_kill_9_do_not_change_the_weights(tmp_path: Path) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert main(train_command(whole)) == 0  # in this process: no TensorFlow to import

    process = start(stopped)
    wait_for_step(stopped, 10, process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130, errors
    assert "the same command goes on from there" in errors
    reached = max(store.steps(stopped / "checkpoints"))
    assert 10 <= reached < STEPS

    process = start(stopped)
    wait_for_step(stopped, reached + 10, process)
    process.kill()
    process.wait()
    assert process.returncode == -signal.SIGKILL
    assert max(store.steps(stopped / "checkpoints")) < STEPS

    process = start(stopped)
    wait_for_step(stopped, reached + 20, process)
    process.send_signal(signal.SIGTERM)
    process.wait()
    assert process.returncode == 143

    last = subprocess.run(  # an interpreter of its own, with a hash seed of its own
        [sys.executable, "-m", "mtmoe.cli.main", *train_command(stopped)],
        cwd=tmp_path,
        env=environment() | {"PYTHONHASHSEED": "5"},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert last.returncode == 0, last.stderr
    assert final_values(stopped) == final_values(whole)
