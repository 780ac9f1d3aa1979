import errno
import os
import subprocess
import sys

import pytest

from mtmoe.errors import MtmoeError
from mtmoe.files import (
    PENDING_NAME,
    finish_writing,
    new_file,
    remove_abandoned,
    write_file,
    write_together,
)


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


KILLED = """
import os, sys
from pathlib import Path
from mtmoe.files import write_together
left, replace = int(sys.argv[2]), os.replace
def dies(*paths):
    global left
    if not left:
        os._exit(9)
    left -= 1
    replace(*paths)
os.replace = dies
write_together(Path(sys.argv[1]), {"x": "new", "y": "new", "z": "new"})
"""


@pytest.mark.parametrize("renames", range(5))
def test_a_killed_process_leaves_all_files_old_or_all_new(tmp_path, renames):
    write_together(tmp_path, {"x": "old", "y": "old"})
    command = [sys.executable, "-c", KILLED, str(tmp_path), str(renames)]
    killed = subprocess.run(command, check=False)
    assert killed.returncode == (9 if renames < 4 else 0)
    finish_writing(tmp_path)
    there = [name for name in "xyz" if (tmp_path / name).exists()]
    texts = {name: (tmp_path / name).read_text() for name in there}
    if renames:  # the first puts the list of the files in its place, which decides
        assert texts == {"x": "new", "y": "new", "z": "new"}
    else:
        assert texts == {"x": "old", "y": "old"}
    assert not (tmp_path / PENDING_NAME).exists()
    write_together(tmp_path, {"x": "newer"})
    assert (tmp_path / "x").read_text() == "newer"


def test_a_folder_that_has_the_name_of_a_file_leaves_the_others_alone(tmp_path):
    write_together(tmp_path, {"x": "old"})
    (tmp_path / "y").mkdir()
    with pytest.raises(MtmoeError, match="y: there is a folder"):
        write_together(tmp_path, {"x": "new", "y": "new"})
    assert (tmp_path / "x").read_text() == "old"
    assert sorted(os.listdir(tmp_path)) == ["x", "y"]


def test_what_killed_writers_left_is_removed_and_nothing_else(tmp_path):
    kept = ["a.tmp", "config.gin", "b.0123456789abcdef"]
    for name in [*kept, "config.gin.0123456789abcdef.tmp"]:
        (tmp_path / name).touch()
    remove_abandoned(tmp_path)
    assert sorted(os.listdir(tmp_path)) == sorted(kept)


def test_a_file_by_another_writer_is_replaced_whole(tmp_path):
    path = tmp_path / "new" / "file"
    write_file(path, "old é")
    with pytest.raises(KeyError), new_file(path) as temporary:
        temporary.write_text("half")
        raise KeyError
    assert path.read_text(encoding="utf-8") == "old é"
    with new_file(path, durable=False) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new" and os.listdir(path.parent) == ["file"]


def test_an_error_names_the_file(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device: '.*/file'"):
        write_file(tmp_path / "file", b"")
