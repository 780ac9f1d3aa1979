"""TensorFlow's file system in memory stands for a remote one."""

from __future__ import annotations

import secrets
import stat

import numpy as np
import pytest
import tensorflow as tf
from cached_splits import random_documents, write_example_split, write_text_split

from mtmoe.data.token_cache.bad_records import BadRecords
from mtmoe.data.token_cache.files.integrity import verify_files
from mtmoe.data.token_cache.files.manifest import load_manifest
from mtmoe.data.token_cache.files.storage import (
    file_size,
    is_remote,
    join,
    make_folder,
    move_file,
    read_file,
    read_range,
    write_file,
)
from mtmoe.data.token_cache.reader import open_cached_split
from mtmoe.errors import CorpusError, DamagedDataError, ManifestError, MtmoeError


@pytest.fixture
def remote() -> str:
    return f"ram://{secrets.token_hex(8)}"


@pytest.mark.parametrize("place", ["local", "remote"])
def test_files_are_written_and_read(place, tmp_path, remote):
    folder = str(tmp_path) if place == "local" else remote
    path = join(folder, "below", "file")
    assert is_remote(path) == (place == "remote")
    assert file_size(path) is None
    with pytest.raises(FileNotFoundError):
        read_file(path)
    write_file(path, b"old content")
    write_file(path, b"content")
    assert file_size(path) == 7
    assert read_file(path) == b"content"
    (tmp_path / "new").write_bytes(b"new")
    move_file(tmp_path / "new", path)
    assert read_file(path) == b"new"
    assert not (tmp_path / "new").exists()


def test_a_remote_file_that_cannot_be_written_leaves_nothing(remote, monkeypatch):
    def refused(*_, **__) -> None:
        raise tf.errors.PermissionDeniedError(None, None, "not allowed")

    write_file(join(remote, "file"), b"old")
    monkeypatch.setattr(tf.io.gfile, "rename", refused)
    with pytest.raises(MtmoeError, match=f"cannot write {remote}/file: not allowed"):
        write_file(join(remote, "file"), b"new")
    assert tf.io.gfile.listdir(remote) == ["file"]
    assert read_file(join(remote, "file")) == b"old"


def test_ranges_of_remote_files(remote):
    write_file(join(remote, "file"), b"0123456789")
    assert read_range(join(remote, "file"), 3, 4) == b"3456"
    assert read_range(join(remote, "file"), 8, 4) == b"89"
    with pytest.raises(FileNotFoundError):
        read_range(join(remote, "absent"), 0, 1)


def test_a_path_below_a_file_is_not_there(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    assert file_size(tmp_path / "file" / "below") is None
    with pytest.raises(MtmoeError, match="cannot make the folder"):
        make_folder(tmp_path / "file" / "below")
    with pytest.raises(MtmoeError, match="cannot write"):
        move_file(tmp_path / "file", tmp_path / "absent" / "file")


def test_others_may_read_what_is_written(tmp_path):
    write_file(tmp_path / "file", b"content")
    (tmp_path / "plain").write_bytes(b"content")
    modes = [(tmp_path / name).stat().st_mode for name in ("file", "plain")]
    assert stat.S_IMODE(modes[0]) == stat.S_IMODE(modes[1])


def test_a_remote_text_is_the_local_one(tmp_path, remote):
    shards = [random_documents(1, [60_000, 5000]), random_documents(2, [70_000])]
    local = open_cached_split(write_text_split(tmp_path, shards))
    directory = write_text_split(remote, shards)
    split = open_cached_split(directory)
    assert split.manifest == local.manifest
    starts = np.random.default_rng(0).integers(0, 134_000, 40)
    for start in starts.tolist():
        rows, bad = split.token_ranges([start], [568])
        local_rows, _ = local.token_ranges([start], [568])
        assert np.array_equal(rows.tokens, local_rows.tokens)
        assert not bad.any()
    assert verify_files(directory) == []


def test_a_remote_file_that_is_damaged_short_or_gone(remote):
    directory = write_example_split(remote, [[[[1] * 30, [2]]] * 40])
    path = join(directory, load_manifest(directory).shards[0].name)
    content = read_file(path)
    split = open_cached_split(directory, BadRecords(quota=0))

    flipped = bytearray(content)
    flipped[150] ^= 1
    write_file(path, bytes(flipped))
    with pytest.raises(DamagedDataError, match=f"{path} at byte .*: page 0"):
        split.examples([0])
    problems = verify_files(directory)
    assert len(problems) == 2
    assert all(path in problem for problem in problems)

    write_file(path, content[:200])
    with pytest.raises(DamagedDataError, match="the file ends before the record does"):
        split.examples([20])
    with pytest.raises(ManifestError, match="has 200 bytes"):
        load_manifest(directory)

    tf.io.gfile.remove(path)
    with pytest.raises(CorpusError, match=f"cannot read {path}"):
        split.examples([39])
