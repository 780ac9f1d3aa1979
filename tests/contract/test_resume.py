"""Interrupted and resumed equals uninterrupted, bit for bit, with real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny_training

from mtmoe.checkpoint import store
from mtmoe.cli.main import main

TESTS = Path(__file__).resolve().parents[1]
STEPS = 200  # long enough to be caught in the middle


def train_command(folder: Path) -> list[str]:
    """Returns the arguments of `mtmoe` that train the tiny run."""
    gin_file = folder.parent / "tiny.gin"
    gin_file.write_text(tiny_training.GIN)
    command = ["train", f"--gin_file={gin_file}", f"--model_dir={folder}"]
    return [
        *command,
        f"--gin_param=train.steps={STEPS}",
        "--gin_param=train.log_every=10",
    ]


def start(folder: Path, hash_seed: int) -> subprocess.Popen[str]:
    """Starts the tiny run in a process of its own."""
    environment = dict(os.environ, PYTHONPATH=str(TESTS), TF_CPP_MIN_LOG_LEVEL="3")
    return subprocess.Popen(
        [sys.executable, "-m", "mtmoe.cli.main", *train_command(folder)],
        cwd=folder.parent,
        env=environment | {"PYTHONHASHSEED": str(hash_seed)},
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_step(folder: Path, step: int, process: subprocess.Popen[str]) -> None:
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

    process = start(stopped, hash_seed=2)
    wait_for_step(stopped, 20, process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130, errors
    assert "the same command goes on from there" in errors
    reached = max(store.steps(stopped / "checkpoints"))
    assert 20 <= reached < STEPS

    process = start(stopped, hash_seed=3)
    wait_for_step(stopped, reached + 20, process)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert max(store.steps(stopped / "checkpoints")) < STEPS

    process = start(stopped, hash_seed=4)
    wait_for_step(stopped, reached + 40, process)
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert process.returncode == 143

    process = start(stopped, hash_seed=5)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert final_values(stopped) == final_values(whole)
