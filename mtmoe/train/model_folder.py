"""A model folder: one config, one writer, everything about one run.

config.gin        the config it was trained with, flat
metrics.jsonl     one line a logged step
events.*          the same for TensorBoard
provenance.json   what it was made of
checkpoints/      step_N/
.lock             held by the process that trains in it
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from mtmoe.checkpoint import store
from mtmoe.config.load import CONFIG_NAME
from mtmoe.errors import CheckpointError
from mtmoe.files import remove_abandoned, write_file

LOCK_NAME = ".lock"


class ModelFolder:
    """The folder a run is written to."""

    def __init__(self, path: Path | str):
        """Touches nothing."""
        self.path = Path(path)
        self.checkpoints = self.path / "checkpoints"

    def check(self) -> None:
        """Checks that a run may be written here; touches nothing.

        Raises:
          CheckpointError: the path is no folder or cannot be written to, another
            process trains in it, or it has checkpoints whose config is gone.
        """
        existing = next(p for p in (self.path, *self.path.parents) if p.exists())
        if not existing.is_dir():
            raise CheckpointError(
                f"model folder {self.path} cannot be made: {existing} is not a folder"
            )
        if not os.access(existing, os.W_OK | os.X_OK):
            raise CheckpointError(
                f"model folder {self.path} cannot be written: no permission in "
                f"{existing}"
            )
        if (self.path / LOCK_NAME).exists():
            with (self.path / LOCK_NAME).open("r+", encoding="utf-8") as lock:
                self._take(lock)
        steps = store.steps(self.checkpoints)
        if steps and not (self.path / CONFIG_NAME).exists():
            raise CheckpointError(
                f"{self.path} has checkpoints of steps {steps} but no {CONFIG_NAME}: "
                "what they belong to cannot be told. Take another --model_dir."
            )

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Makes the folder if need be, and holds it for this process alone.

        The lock is the kernel's: it goes with the process, however that ends.

        Raises:
          CheckpointError: another process trains here, or the folder cannot be made.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise CheckpointError(f"model folder {self.path}: {error}") from error
        with os.fdopen(descriptor, "r+", encoding="utf-8") as lock:
            self._take(lock)
            lock.truncate(0)
            lock.write(f"{os.getpid()}\n")
            lock.flush()
            try:
                store.clean(self.checkpoints)
                remove_abandoned(self.path)
                yield
            finally:
                if not (self.path / CONFIG_NAME).exists():  # nothing has begun
                    (self.path / LOCK_NAME).unlink()
                    with contextlib.suppress(OSError):
                        self.path.rmdir()

    def _take(self, lock: TextIO) -> None:
        """Locks an open file for as long as it is open."""
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise CheckpointError(
                f"{self.path} is in use: process {lock.read().strip() or '?'} trains "
                "in it. Wait for it, or take another --model_dir."
            ) from error

    def write(self, name: str, text: str) -> None:
        """Writes a file whole.

        Raises:
          CheckpointError: it cannot be written (a full disk?); what was there stays.
        """
        path = self.path / name
        try:
            write_file(path, text)
        except OSError as error:
            raise CheckpointError(f"{path} could not be written: {error}") from error
