"""A run in several processes is the run in one, whatever happens to a process."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import tiny_training
from oracles.process_group import Ended, ProcessGroup, started

from mtmoe.checkpoint import store

pytestmark = pytest.mark.slow

# Rounding of another layout is 1e-8 then; in hundreds of steps it sends a token to
# another expert.
STEPS = 160
KILLS = int(os.environ.get("MTMOE_KILLS", "1"))
"""How often a process is killed; `MTMOE_KILLS=10` for a thorough run."""


def command(folder: Path, processors: int = 4, **bindings: object) -> list[str]:
    """Returns the arguments of Python that train the tiny model."""
    (folder.parent / "tiny.gin").write_text(tiny_training.GIN)
    layout = {
        "Layout.mesh_shape": f"data:{processors}",
        "Layout.layout_rules": "batch:data",
    }
    steps = {"train.steps": STEPS, "train.log_every": 20, "train.checkpoint_every": 20}
    return [
        "-m",
        "mtmoe.cli.main",
        "train",
        f"--gin_file={folder.parent / 'tiny.gin'}",
        f"--model_dir={folder}",
        *(f"--gin_param={k}={v!r}" for k, v in {**layout, **steps, **bindings}.items()),
    ]


def run(
    folder: Path, processes: int, processors: int = 4, **bindings: object
) -> list[Ended]:
    """Trains to the end."""
    commands = [command(folder, processors, **bindings)] * processes
    where = folder.parent / f"{folder.name}.{processes}.{time.monotonic_ns()}"
    variables = {"MTMOE_CACHE": str(folder.parent / "cache")}
    if processes == 1:
        variables |= {"MTMOE_COORDINATOR": "", "MTMOE_NUM_PROCESSES": ""}
        variables |= {"MTMOE_PROCESS_ID": ""}
    with started(commands, where, variables) as group:
        return group.ended(300)


def losses(folder: Path) -> list[tuple[float, ...]]:
    """Returns what the log says of each line that does not depend on time."""
    names = ("step", "loss", "padding_fraction", "dropped_fraction", "gradient_norm")
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [tuple(json.loads(line)[name] for name in names) for line in lines]


def values(folder: Path) -> dict[str, np.ndarray]:
    """Returns every variable at the end."""
    return dict(store.load(folder / "checkpoints", STEPS).values)


def files(folder: Path, pattern: str) -> dict[Path, int]:
    """Returns the files of a pattern, and what tells one from another put there."""
    return {path: path.stat().st_ino for path in folder.rglob(pattern)}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """The run in one process with four devices, which nothing happens to."""
    folder = tmp_path_factory.mktemp("processes") / "whole"
    (ended,) = run(folder, 1)
    assert ended.status == 0, ended.stderr
    return folder


def wait_for_step(folder: Path, step: int, group: ProcessGroup) -> None:
    """Waits until a checkpoint of at least `step` is there."""
    until = time.monotonic() + 200
    while max(store.steps(folder / "checkpoints"), default=0) < step:
        assert time.monotonic() < until
        for index, process in enumerate(group.processes):
            assert process.poll() is None, group.output(index, "stderr")
        time.sleep(0.005)


def interrupt(
    folder: Path, number: signal.Signals, steps: tuple[int, int]
) -> tuple[int, list[Ended]]:
    """Starts four processes and sends one a signal; returns which, and how all end."""
    chosen = random.randrange(4)
    variables = {"MTMOE_HEARTBEAT_SECONDS": "6"}
    variables |= {"MTMOE_CACHE": str(folder.parent / "cache")}
    where = folder.parent / f"{folder.name}.{time.monotonic_ns()}"
    with started([command(folder)] * 4, where, variables) as group:
        wait_for_step(folder, random.randint(*steps), group)
        time.sleep(0.05 * random.random())  # between two checkpoints
        group.processes[chosen].send_signal(number)
        return chosen, group.ended(60)


def test_sigterm_and_kill_9_of_one_of_four_do_not_change_the_weights(whole):
    """Four processes, one of which is stopped or killed; then two, to the end.

    That is also the proof that losses and weights are those of one process.
    """
    folder = whole.parent / "interrupted"
    _, ended = interrupt(folder, signal.SIGTERM, (20, 20))
    assert [process.status for process in ended] == [143] * 4, ended
    reached = max(store.steps(folder / "checkpoints"))
    assert 20 <= reached < STEPS
    assert f"stopped after step {reached}, which is saved" in ended[0].stderr
    # What each has compiled, or the first: nobody compiles again after a restart.
    compiled = files(folder.parent / "cache", "*.executable")
    assert len(compiled) == 3
    for _ in range(KILLS):
        done = max(store.steps(folder / "checkpoints"))
        for step in store.steps(folder / "checkpoints"):
            if step > STEPS / 2 and done > STEPS / 2:  # too near to the end
                shutil.rmtree(folder / "checkpoints" / f"step_{step}")
        done = max(store.steps(folder / "checkpoints"), default=0)
        chosen, ended = interrupt(folder, signal.SIGKILL, (done + 1, done + 40))
        for index, process in enumerate(ended):
            expected = -signal.SIGKILL if index == chosen else 75
            assert process.status == expected, ended
            if index != chosen:
                assert f"process {chosen} of 4 on host" in process.stderr
    assert files(folder.parent / "cache", "*.executable") == compiled
    shutil.copytree(folder, whole.parent / "other_layout")
    ended = run(folder, 2)
    assert [process.status for process in ended] == [0, 0], ended
    assert f"trained: step {STEPS}" in ended[0].stderr
    assert not ended[1].stdout + ended[1].stderr
    assert losses(folder) == losses(whole)
    expected = values(whole)
    for name, value in values(folder).items():
        assert value.tobytes() == expected[name].tobytes(), name

    # And with another layout, in one process.
    folder = whole.parent / "other_layout"
    (last,) = run(folder, 1, processors=2)
    assert last.status == 0, last.stderr
    for (step, loss, *_), (_, expected_loss, *_) in zip(
        losses(folder), losses(whole), strict=True
    ):
        assert loss == pytest.approx(expected_loss, rel=1e-5), step


def test_processes_with_other_configs_end_before_the_first_step(tmp_path):
    folder = tmp_path / "unlike"
    commands = [command(folder), command(folder, **{"train.seed": 3})]
    with started(commands, tmp_path / "output") as group:
        ended = group.ended()
    for process in ended:
        assert process.status == 2, process
        assert "the config of process 1 of 2 on host" in process.stderr
        assert "train.seed = 3" in process.stderr
    assert not folder.exists()
