"""Turns: what several processes of a machine need, one of them makes."""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Iterator
from pathlib import Path

_POLL_SECONDS = 0.02


@contextlib.contextmanager
def turn(path: Path, seconds: float = 600.0) -> Iterator[None]:
    """Waits until no other process makes a file, and keeps others waiting.

    The lock ends with its process. Where files cannot be locked, and after `seconds`,
    the wait ends: making a file twice costs nothing but time.

    Args:
      path: the file; one next to it is locked.
      seconds: how long to wait at most.
    """
    try:
        lock = path.with_name(f"{path.name}.lock")
        stream = lock.open("w")
    except OSError:
        yield
        return
    with stream:
        until = time.monotonic() + seconds
        is_ours = _is_locked(stream.fileno(), until)
        try:
            yield
        finally:
            if is_ours:  # those who wait have it open already
                lock.unlink(missing_ok=True)


def _is_locked(descriptor: int, until: float) -> bool:
    """Locks an open file; returns whether that was possible in time."""
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                return False
            time.sleep(_POLL_SECONDS)
        except OSError:
            return False
        else:
            return True
