"""Several processes save one checkpoint: all succeed, or all learn why not."""

from __future__ import annotations

import errno
import re
from pathlib import Path

import numpy as np
import pytest
import thread_processes as threads

from mtmoe.checkpoint import shards, store
from mtmoe.checkpoint.pieces import Piece
from mtmoe.errors import CheckpointError, MtmoeError

ROWS = 6


def experts(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(ROWS, 5)).astype(np.float32)


def own(process: threads.ThreadProcess, seed: int) -> list[Piece]:
    """The rows of a process; the first one has what is not split, too."""
    rows = ROWS // process.count
    begin = process.index * rows
    pieces = [Piece("experts", (ROWS, 5), (begin, 0), experts(seed)[begin:][:rows])]
    if process.index == 0:
        pieces.append(Piece.whole("step", np.array(seed)))
    return pieces


def save(directory: Path, count: int, step: int) -> None:
    def action(process: threads.ThreadProcess) -> None:
        store.save(directory, step, own(process, step), {"n": count}, process)

    assert threads.run(count, action) == [None] * count


@pytest.mark.parametrize("count", [2, 3])
def test_another_number_of_processes_reads_it(tmp_path: Path, count: int) -> None:
    save(tmp_path, count, 4)
    assert len(list((tmp_path / "step_4").iterdir())) == 2 * count + 1
    assert threads.run(2, lambda p: store.latest(tmp_path, p)) == [4, 4]
    loaded = store.load(tmp_path, 4)
    np.testing.assert_array_equal(loaded.values["experts"], experts(4))
    assert loaded.values["step"] == 4


@pytest.mark.parametrize("readers", [1, 2, 4])
@pytest.mark.parametrize("kind", ["flip", "shorten", "remove"])
@pytest.mark.parametrize("shard", [0, 2])
def test_a_damaged_shard_makes_all_fall_back(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    readers: int,
    kind: str,
    shard: int,
) -> None:
    save(tmp_path, 3, 4)
    save(tmp_path, 3, 5)
    path = tmp_path / "step_5" / f"shard_0000{shard}-of-00003.safetensors"
    content = bytearray(path.read_bytes())
    content[-3] ^= 4
    if kind == "remove":
        path.unlink()
    else:
        path.write_bytes(content if kind == "flip" else content[:-1])
    assert threads.run(readers, lambda p: store.latest(tmp_path, p)) == [4] * readers
    said = capfd.readouterr().err
    assert said.count("passed over, step 5") == 1 and path.name in said


def test_a_process_whose_disk_is_full_tells_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, 2, 4)
    real = shards.write_file

    def full(path: Path, text: str) -> None:
        if path.name.startswith("shard_00001"):
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        real(path, text)

    monkeypatch.setattr(shards, "write_file", full)
    errors = threads.run(2, lambda p: store.save(tmp_path, 5, own(p, 5), {}, p))
    for error in errors:
        assert isinstance(error, CheckpointError)
        assert "No space left" in str(error) and "steps [4]" in str(error)
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, OSError):
            cause = cause.__cause__
        assert cause is not None and cause.errno == errno.ENOSPC
    assert "process 1 of 2: " in str(errors[0])
    assert store.steps(tmp_path) == [4] and store.clean(tmp_path) == []


def test_values_that_fail_their_check_stop_all(tmp_path: Path) -> None:
    class NotFiniteError(MtmoeError):
        """An error of the caller's."""

    def save_checked(process: threads.ThreadProcess) -> None:
        def check(name: str, value: np.ndarray) -> None:
            if process.index == 1:
                raise NotFiniteError(f"{name} is bad")

        store.save(tmp_path, 5, own(process, 5), {}, process, check)

    first, second = threads.run(2, save_checked)
    assert isinstance(second, NotFiniteError)
    assert "process 1 of 2: experts is bad" in str(first)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_shared_is_said_to_be_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What process 1 writes is where it sees it, and nobody else does."""
    real = store.file_sha256

    def sha256_then_elsewhere(path: Path) -> str:
        digest = real(path)
        if path.name.startswith("shard_00001"):
            path.rename(tmp_path / path.name)
        return digest

    monkeypatch.setattr(store, "file_sha256", sha256_then_elsewhere)
    errors = threads.run(2, lambda p: store.save(tmp_path / "c", 5, own(p, 5), {}, p))
    message = "process 1 of 2 has written .*shard_00001.*file system that all"
    for error in errors:
        assert re.search(message, str(error))
    assert store.steps(tmp_path / "c") == []


class Killed(BaseException):
    """Stands for kill -9 of one process."""


@pytest.mark.parametrize("victim", [0, 1])
@pytest.mark.parametrize("call", range(7))
def test_a_process_that_dies_at_any_meeting_leaves_the_old_one(
    tmp_path: Path, victim: int, call: int
) -> None:
    save(tmp_path, 2, 3)
    save(tmp_path, 2, 4)

    def dying(process: threads.ThreadProcess) -> None:
        gather, count = process.gather, 0

        def counted(tag: str, text: str) -> list[str]:
            nonlocal count
            if process.index == victim and count == call:
                process.leave()
                raise Killed
            count += 1
            return gather(tag, text)

        process.gather = counted  # type: ignore[method-assign]
        store.save(tmp_path, 5, own(process, 5), {}, process)
        store.prune(tmp_path, 2, process)

    assert isinstance(threads.run(2, dying)[victim], Killed)
    step = store.latest(tmp_path)
    assert step in (4, 5)
    np.testing.assert_array_equal(
        store.load(tmp_path, step).values["experts"], experts(step)
    )
    store.clean(tmp_path)
    save(tmp_path, 2, 6)
    assert store.latest(tmp_path) == 6


def test_all_verify_and_the_first_one_deletes(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        save(tmp_path, 2, step)
    assert threads.run(2, lambda p: store.prune(tmp_path, 2, p)) == [[1], [1]]
    assert store.steps(tmp_path) == [2, 3]
