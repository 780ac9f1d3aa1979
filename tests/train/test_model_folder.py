"""A model folder has one writer, and is not begun before it can be finished."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mtmoe.checkpoint import store
from mtmoe.config.load import CONFIG_NAME
from mtmoe.errors import CheckpointError
from mtmoe.train.model_folder import LOCK_NAME, ModelFolder


def test_checking_touches_nothing(tmp_path: Path) -> None:
    ModelFolder(tmp_path / "a" / "b").check()
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "inside"):
        with pytest.raises(CheckpointError, match="file is not a folder"):
            ModelFolder(path).check()


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    with pytest.raises(CheckpointError, match="no permission"):
        ModelFolder(tmp_path / "model").check()


def test_checkpoints_without_a_config_are_refused(tmp_path: Path) -> None:
    store.save(tmp_path / "checkpoints", 3, {"w": np.ones(2)}, {})
    with pytest.raises(CheckpointError, match=r"steps \[3\] but no config.gin"):
        ModelFolder(tmp_path).check()


def test_two_writers_in_one_process_or_two(tmp_path: Path) -> None:
    folder = ModelFolder(tmp_path / "model")
    code = (
        "import sys; from mtmoe.train.model_folder import ModelFolder\n"
        "from mtmoe.errors import CheckpointError\n"
        "try: ModelFolder(sys.argv[1]).check()\n"
        "except CheckpointError as error: print(error)"
    )
    with folder.locked():
        folder.write(CONFIG_NAME, "")
        for attempt in (folder.check, lambda: folder.locked().__enter__()):
            with pytest.raises(CheckpointError, match=f"process {os.getpid()} trains"):
                attempt()
        other = subprocess.run(
            [sys.executable, "-c", code, str(folder.path)],
            capture_output=True,
            text=True,
            check=True,
        )
        assert f"process {os.getpid()} trains" in other.stdout
    folder.check()
    with folder.locked():
        assert (folder.path / LOCK_NAME).read_text() == f"{os.getpid()}\n"


def test_leftovers_are_cleaned(tmp_path: Path) -> None:
    (tmp_path / "checkpoints" / "step_5.tmp").mkdir(parents=True)
    folder = ModelFolder(tmp_path)
    with folder.locked():
        folder.write(CONFIG_NAME, "")
    assert list(folder.checkpoints.iterdir()) == []


def test_a_folder_that_was_never_begun_is_removed(tmp_path: Path) -> None:
    with pytest.raises(KeyError), ModelFolder(tmp_path / "model").locked():
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(CheckpointError, match="file"),
        ModelFolder(tmp_path / "file" / "x").locked(),
    ):
        pass


def test_a_file_is_replaced_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = ModelFolder(tmp_path)
    folder.write("a.txt", "old é")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match="a.txt could not be written.*No space"):
        folder.write("a.txt", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "old é"
