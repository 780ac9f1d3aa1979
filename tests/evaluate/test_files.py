import errno
import os

import pytest

from mtmoe.errors import MtmoeError
from mtmoe.evaluate.files import write_together


def test_writes_all_and_makes_the_folder(tmp_path):
    write_together(tmp_path / "a" / "b", {"x.csv": "1\n", "y.json": "é"})
    assert (tmp_path / "a/b/x.csv").read_bytes() == b"1\n"
    assert (tmp_path / "a/b/y.json").read_text(encoding="utf-8") == "é"
    assert sorted(os.listdir(tmp_path / "a/b")) == ["x.csv", "y.json"]


def test_a_full_disk_leaves_everything_as_it_was(tmp_path, monkeypatch):
    write_together(tmp_path, {"x": "old", "y": "old"})
    written = []

    def full(descriptor):
        written.append(descriptor)
        if len(written) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(MtmoeError, match="No space left"):
        write_together(tmp_path, {"x": "new", "y": "new"})
    assert (tmp_path / "x").read_text() == (tmp_path / "y").read_text() == "old"
    assert sorted(os.listdir(tmp_path)) == ["x", "y"]
    written.clear()
    with pytest.raises(MtmoeError):
        write_together(tmp_path / "fresh", {"x": "new", "y": "new"})
    assert not (tmp_path / "fresh").exists()


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "report").write_text("mine")
    with pytest.raises(MtmoeError, match="report"):
        write_together(tmp_path / "report", {"x": "new"})
    assert (tmp_path / "report").read_text() == "mine"
