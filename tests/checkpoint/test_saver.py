"""Saving beside training: nothing is lost, and no error is swallowed."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import thread_processes as threads

from mtmoe.checkpoint import store
from mtmoe.checkpoint.pieces import Piece
from mtmoe.checkpoint.saver import AsyncSaver
from mtmoe.errors import CheckpointError

# Saves one step after another; what a step holds is a function of its number.
CHILD = """
import sys, numpy as np
from mtmoe.checkpoint import store
from mtmoe.checkpoint.saver import AsyncSaver
folder = sys.argv[1]
store.clean(folder)
step = store.latest(folder) or 0
with AsyncSaver(folder, keep=2, saved=step) as saver:
    while True:
        step += 1
        values = {"w": np.random.default_rng(step).normal(size=(64, 500))}
        saver.save(step, lambda: values, {"step": step})
        if step == 1:
            saver.wait()
        print(step, flush=True)
"""


def values(step: int) -> dict[str, np.ndarray]:
    return {"w": np.full([4, 3], step, np.float32)}


class Gate:
    """Lets `store.save` go on when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.open = threading.Event()
        self.entered = threading.Event()
        real = store.save

        def save(*args):
            self.entered.set()
            assert self.open.wait(timeout=20)
            return real(*args)

        monkeypatch.setattr(store, "save", save)


def test_training_goes_on_while_a_checkpoint_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    metadata = {"window": [1]}
    done: list[int] = []
    with AsyncSaver(tmp_path, keep=2) as saver:
        saver.save(1, lambda: values(1), metadata, then=lambda: done.append(1))
        metadata["window"].append(2)  # training does
        assert gate.entered.wait(timeout=20)
        saver.check()
        assert (saver.saved, store.steps(tmp_path), done) == (0, [], [])
        gate.open.set()
        saver.wait()
        assert (saver.saved, store.steps(tmp_path), done) == (1, [1], [1])
        saver.save(2, lambda: [Piece.whole("w", values(2)["w"])], {})
        saver.save(3, lambda: values(3), {})
    assert store.steps(tmp_path) == [2, 3]
    assert store.load(tmp_path, 3).values["w"][0, 0] == 3


def test_the_metadata_is_that_of_the_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    metadata = {"window": [1]}
    with AsyncSaver(tmp_path, keep=2) as saver:
        saver.save(1, lambda: values(1), metadata)
        metadata["window"].append(2)
        gate.open.set()
    assert store.load(tmp_path, 1).metadata == {"window": [1]}


def test_a_second_save_waits_before_it_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    copied = threading.Event()

    def snapshot() -> dict[str, np.ndarray]:
        copied.set()
        return values(2)

    with AsyncSaver(tmp_path, keep=2) as saver:
        saver.save(1, lambda: values(1), {})
        second = threading.Thread(target=saver.save, args=(2, snapshot, {}))
        second.start()
        assert not copied.wait(timeout=0.1)
        gate.open.set()
        second.join()
        assert copied.is_set()
    assert saver.stalled_seconds >= 0.1
    assert store.steps(tmp_path) == [1, 2]


@pytest.mark.parametrize("call", ["check", "save", "wait", "exit"])
def test_an_error_is_raised_at_the_next_call(tmp_path: Path, call: str) -> None:
    (tmp_path / "file").touch()
    saver = AsyncSaver(tmp_path / "file" / "checkpoints", keep=2)
    with pytest.raises(CheckpointError, match="step_1 could not be written"):
        with saver:
            saver.save(1, lambda: values(1), {})
            if call == "check":
                while True:
                    saver.check()
                    time.sleep(0.001)
            if call == "save":
                saver.save(2, lambda: values(2), {})
            if call == "wait":
                saver.wait()
    saver.wait()  # it is raised once


def test_an_error_beside_another_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ZeroDivisionError):
        with AsyncSaver(tmp_path / "file" / "checkpoints", keep=2) as saver:
            saver.save(1, lambda: values(1), {})
            raise ZeroDivisionError
    assert "step_1 could not be written" in capsys.readouterr().err


def test_several_processes_save_beside_training(tmp_path: Path) -> None:
    def train(process: threads.ThreadProcess) -> int:
        with AsyncSaver(tmp_path, keep=2, processes=process) as saver:
            for step in (1, 2, 3):
                half = values(step)["w"][2 * process.index :][:2]
                piece = Piece("w", (4, 3), (2 * process.index, 0), half)
                saver.save(step, lambda piece=piece: [piece], {})
        return saver.saved

    assert threads.run(2, train) == [3, 3]
    assert store.steps(tmp_path) == [2, 3]
    np.testing.assert_array_equal(store.load(tmp_path, 3).values["w"], values(3)["w"])


def test_killed_at_random_times_the_newest_checkpoint_is_whole(tmp_path: Path) -> None:
    generator, reached = random.Random(3), 0
    for _ in range(6):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE
        )
        try:
            assert child.stdout is not None
            # The second line says that what the first one began is there.
            assert child.stdout.readline() and child.stdout.readline()
            time.sleep(generator.random() * 0.1)
        finally:
            child.kill()
            child.wait()
        step = store.latest(tmp_path)
        assert step is not None and step >= reached
        loaded = store.load(tmp_path, step)
        expected = np.random.default_rng(step).normal(size=(64, 500))
        np.testing.assert_array_equal(loaded.values["w"], expected)
        reached = step
    assert reached >= 6
