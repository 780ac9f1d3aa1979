"""A checkpoint is there in full or not at all, whatever happens while it is written."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import os
import re
import resource
import shutil
import zlib
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from mtmoe.checkpoint import shards, store
from mtmoe.checkpoint.manifest import MANIFEST_NAME, Manifest
from mtmoe.errors import CheckpointError

DATA = "shard_00000-of-00001.safetensors"
INDEX = "shard_00000-of-00001.json"


class Killed(BaseException):
    """Stands for kill -9: no `except Exception` of the code under test sees it."""


def values(seed: int, rows: int = 40) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    return {
        "encoder/layer_0/wi": generator.normal(size=(rows, 8)).astype(np.float32),
        "encoder/layer_0/wi/vr": generator.normal(size=(rows,)).astype(np.float32),
        "scalar": np.float32(generator.normal()).reshape(()),
        "count": np.array([3, 4], np.int32),
    }


def assert_equal(left: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> None:
    assert left.keys() == right.keys()
    for name in left:
        assert left[name].dtype == right[name].dtype
        assert left[name].shape == right[name].shape
        assert left[name].tobytes() == right[name].tobytes()


def test_what_is_saved_is_loaded_bit_for_bit(tmp_path: Path) -> None:
    special = values(0)
    special["special"] = np.array([3e38, -0.0, 1e-45], np.float32)
    folder = store.save(tmp_path / "checkpoints", 7, special, {"seed": 3, "name": "é"})
    checkpoint = store.load(tmp_path / "checkpoints", 7)
    assert folder.name == "step_7"
    assert checkpoint.step == 7
    assert checkpoint.metadata == {"seed": 3, "name": "é"}
    assert_equal(checkpoint.values, special)


def test_any_reader_of_safetensors_opens_it_under_plain_names(tmp_path: Path) -> None:
    store.save(tmp_path, 1, values(0), {})
    read = safetensors.numpy.load_file(tmp_path / "step_1" / DATA)
    assert_equal(read, values(0))


def test_manifest_names_files_shapes_and_versions(tmp_path: Path) -> None:
    store.save(tmp_path, 1, values(0), {})
    manifest = Manifest.read(tmp_path / "step_1")
    on_disk = {path.name for path in (tmp_path / "step_1").iterdir()}
    assert on_disk == {DATA, INDEX, MANIFEST_NAME}
    assert set(manifest.files) == {INDEX}
    assert manifest.variables["encoder/layer_0/wi"] == {
        "shape": [40, 8],
        "dtype": "float32",
    }
    assert manifest.versions["numpy"] == np.__version__
    assert {"python", "mtmoe", "mesh_tensorflow"} <= manifest.versions.keys()
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", manifest.written)


def test_steps_are_numbers_in_order_without_unfinished_ones(tmp_path: Path) -> None:
    for step in (2, 10, 9):
        store.save(tmp_path, step, values(step), {})
    (tmp_path / "step_11.tmp").mkdir()
    (tmp_path / "step_x").mkdir()
    assert store.steps(tmp_path) == [2, 9, 10]
    assert store.steps(tmp_path / "absent") == []
    assert store.clean(tmp_path) == ["step_11.tmp"]
    assert not (tmp_path / "step_11.tmp").exists()


def test_empty_folder_has_no_latest(tmp_path: Path) -> None:
    assert store.latest(tmp_path) is None
    assert store.latest(tmp_path / "absent") is None


def shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("damage", [shorten, flip, Path.unlink])
@pytest.mark.parametrize("name", [DATA, INDEX, MANIFEST_NAME])
def test_damage_is_found_and_the_one_before_is_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage, name: str
) -> None:
    store.save(tmp_path, 5, values(5), {})
    store.save(tmp_path, 6, values(6), {})
    damage(tmp_path / "step_6" / name)
    assert store.latest(tmp_path) == 5
    message = capsys.readouterr().err
    assert "step 6" in message and name in message
    with pytest.raises(CheckpointError, match="step_6"):
        store.load(tmp_path, 6)
    assert_equal(store.load(tmp_path, 5).values, values(5))


def test_nothing_intact_is_an_error_not_a_fresh_start(tmp_path: Path) -> None:
    store.save(tmp_path, 5, values(5), {})
    flip(tmp_path / "step_5" / INDEX)
    with pytest.raises(CheckpointError, match="(?s)step 5.*SHA-256"):
        store.latest(tmp_path)


def test_a_manifest_cannot_point_outside(tmp_path: Path) -> None:
    store.save(tmp_path, 5, values(5), {})
    folder = tmp_path / "step_5"
    manifest = Manifest.read(folder)
    files = {**manifest.files, "../secret": {"bytes": 0, "sha256": ""}}
    (tmp_path / "secret").touch()
    forged = dataclasses.replace(manifest, files=files)
    (folder / MANIFEST_NAME).write_text(forged.to_json())
    with pytest.raises(CheckpointError, match="secret"):
        store.verify(tmp_path, 5)


def test_unknown_format_is_refused(tmp_path: Path) -> None:
    content = {"format": 99}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    text = json.dumps({**content, "sha256": digest}, indent=1, sort_keys=True) + "\n"
    (tmp_path / MANIFEST_NAME).write_text(text)
    with pytest.raises(CheckpointError, match="format 99.*formats 1 and 2"):
        Manifest.read(tmp_path)


def test_absent_step_names_those_there_are(tmp_path: Path) -> None:
    store.save(tmp_path, 5, values(5), {})
    with pytest.raises(CheckpointError, match=r"step 6.*\[5\]"):
        store.load(tmp_path, 6)


def test_prune_keeps_the_newest_and_never_fewer_than_two(tmp_path: Path) -> None:
    for step in range(1, 6):
        store.save(tmp_path, step, values(step), {})
    assert store.prune(tmp_path, 3) == [1, 2]
    assert store.prune(tmp_path, 1) == [3]
    assert store.steps(tmp_path) == [4, 5]
    assert store.prune(tmp_path, 0) == []


@pytest.mark.parametrize(
    ("damaged", "deleted", "left"),
    [
        ([5], [1, 2], [3, 4, 5]),  # counted, 3 would go and 4 be the only one
        ([4, 5], [1], [2, 3, 4, 5]),
        ([2, 3, 4, 5], [], [1, 2, 3, 4, 5]),  # the only intact one is the oldest
        ([1, 3], [1, 2, 3], [4, 5]),  # a damaged one goes when it is old enough
        ([1, 2, 3, 4, 5], [], [1, 2, 3, 4, 5]),
    ],
)
def test_prune_does_not_count_damaged_ones(
    tmp_path: Path, damaged: list[int], deleted: list[int], left: list[int]
) -> None:
    for step in range(1, 6):
        store.save(tmp_path, step, values(step), {})
    for step in damaged:
        flip(tmp_path / f"step_{step}" / DATA)
    assert store.prune(tmp_path, 2) == deleted
    assert store.steps(tmp_path) == left


CALLS = ("os.rename", "os.fsync", "shutil.rmtree", "pathlib.Path.mkdir", "zlib.crc32")


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("nth", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("after", [False, True])
def test_killed_at_any_call_an_intact_checkpoint_remains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, nth: int, after: bool
) -> None:
    """Dies before or after the nth such call; either old or new can be loaded."""
    store.save(tmp_path, 1, values(1), {})
    store.save(tmp_path, 2, values(2), {})
    (tmp_path / "step_3.tmp").mkdir()
    module, _, name = call.rpartition(".")
    owner = {"os": os, "shutil": shutil, "pathlib.Path": Path, "zlib": zlib}[module]
    real, count = getattr(owner, name), 0

    def dying(*args, **kwargs):
        nonlocal count
        count += 1
        if count == nth and not after:
            raise Killed
        result = real(*args, **kwargs)
        if count == nth:
            raise Killed
        return result

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, dying)
        try:
            store.save(tmp_path, 3, values(3), {})
            store.prune(tmp_path, 2)
        except Killed:
            pass
    step = store.latest(tmp_path)
    assert step in (2, 3)
    assert_equal(store.load(tmp_path, step).values, values(step))
    store.clean(tmp_path)
    assert all(
        path.name in ("step_1", "step_2", "step_3") for path in tmp_path.iterdir()
    )
    store.save(tmp_path, 3, values(3), {})
    assert store.latest(tmp_path) == 3


@pytest.mark.parametrize("limit", [0, 100, 4000])
def test_full_disk_is_one_clear_error(tmp_path: Path, limit: int) -> None:
    """No file may grow beyond `limit` bytes, as on a disk that fills up."""
    store.save(tmp_path, 1, values(1, rows=400), {})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        with pytest.raises(
            CheckpointError,
            match=r"(?s)step_2 could not be written: .*File too large: '/.*\n.*\[1\]",
        ) as caught:
            store.save(tmp_path, 2, values(2, rows=400), {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.EFBIG
    assert [path.name for path in tmp_path.iterdir()] == ["step_1"]
    assert_equal(
        store.load(tmp_path, store.latest(tmp_path)).values, values(1, rows=400)
    )


def test_what_reads_back_differently_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer that loses a bit is found before the checkpoint gets its name."""
    monkeypatch.setattr(shards, "synchronize", lambda folder: flip(folder / DATA))
    with pytest.raises(CheckpointError, match="step_1 could not be .*damaged in "):
        store.save(tmp_path, 1, values(1), {})
    assert store.steps(tmp_path) == []


def test_a_damaged_checkpoint_is_replaced_by_a_new_one(tmp_path: Path) -> None:
    store.save(tmp_path, 1, values(1), {})
    shorten(tmp_path / "step_1" / INDEX)
    store.save(tmp_path, 1, values(8), {})
    assert_equal(store.load(tmp_path, 1).values, values(8))
