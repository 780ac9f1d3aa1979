"""One process after the other, and never for ever."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
import time

import pytest

from mtmoe.engine.kept.turns import turn

HOLD = """
import pathlib, sys
from mtmoe.engine.kept.turns import turn
with turn(pathlib.Path(sys.argv[1])):
    print("mine", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process, whose turn it is until it is killed or told to go on."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "made")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "mine\n"
        yield process
        process.kill()


def test_another_waits_until_the_first_is_done(tmp_path, holder):
    started = time.monotonic()
    with turn(tmp_path / "made", seconds=0.2):  # in vain: the other has not ended
        assert time.monotonic() - started >= 0.2
    assert holder.poll() is None
    print("go on", file=holder.stdin, flush=True)
    with turn(tmp_path / "made", seconds=60):
        assert holder.wait(60) == 0
    assert not list(tmp_path.iterdir())


def test_who_is_killed_has_had_its_turn(tmp_path, holder):
    holder.kill()
    with turn(tmp_path / "made", seconds=60):
        assert holder.wait(0.5) == -signal.SIGKILL


def test_other_files_do_not_wait(tmp_path, holder):
    started = time.monotonic()
    with turn(tmp_path / "another", seconds=20):
        pass
    assert time.monotonic() - started < 10


def test_an_error_ends_the_turn(tmp_path):
    with pytest.raises(ZeroDivisionError), turn(tmp_path / "made"):
        raise ZeroDivisionError
    with turn(tmp_path / "made", seconds=0):
        assert (tmp_path / "made.lock").exists()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EIO])
def test_where_files_cannot_be_locked_nobody_waits(tmp_path, monkeypatch, number):
    def flock(descriptor, operation):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with turn(tmp_path / "made"):
        pass


def test_where_no_file_can_be_made_nobody_waits(tmp_path):
    with turn(tmp_path / "missing" / "made"):
        pass
