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
from collections.abc import Collection, Iterator
from pathlib import Path

from mtmoe.checkpoint import store
from mtmoe.config.load import CONFIG_NAME, Config, resolved_bindings
from mtmoe.errors import CheckpointError

LOCK_NAME = ".lock"


class ModelFolder:
    """The folder a run is written to."""

    def __init__(self, path: Path | str):
        """Touches nothing."""
        self.path = Path(path)
        self.checkpoints = self.path / "checkpoints"

    def check(self, config: Config, changeable: Collection[str]) -> None:
        """Checks that a run of this config may be written here; touches nothing.

        Args:
          config: the config that is about to be run.
          changeable: bindings that may differ from those of the run that is there.

        Raises:
          CheckpointError: the path is no folder or cannot be written to, or the folder
            is of a run of another config; the message has what differs.
        """
        existing = next(p for p in (self.path, *self.path.parents) if p.exists())
        if not existing.is_dir():
            raise CheckpointError(
                f"model folder {self.path} cannot be made: {existing} is not a folder"
            )
        if not os.access(existing, os.W_OK | os.X_OK):
            raise CheckpointError(
                f"model folder {self.path} cannot be written: no permission in {existing}"
            )
        path = self.path / CONFIG_NAME
        if path.exists():
            there = resolved_bindings(path.read_text(encoding="utf-8"), str(path))
            if differing := _differences(there, dict(config.bindings), changeable):
                raise CheckpointError(
                    f"{self.path} holds a run of another config. It differs in:\n  "
                    + "\n  ".join(differing)
                    + "\nTake another --model_dir, or the same config to go on."
                )
        elif steps := store.steps(self.checkpoints):
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
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise CheckpointError(
                    f"{self.path} is in use: process {lock.read().strip() or '?'} "
                    "trains in it. Wait for it, or take another --model_dir."
                ) from error
            lock.truncate(0)
            lock.write(f"{os.getpid()}\n")
            lock.flush()
            store.clean(self.checkpoints)
            yield

    def write(self, name: str, text: str) -> None:
        """Writes a file beside its place, then renames it.

        Raises:
          CheckpointError: it cannot be written (a full disk, say); the file is as before.
        """
        path = self.path / name
        temporary = path.with_name(name + ".tmp")
        try:
            with temporary.open("w", encoding="utf-8") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, path)
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise CheckpointError(f"{path} could not be written: {error}") from error


def _differences(
    there: dict[str, str], wanted: dict[str, str], changeable: Collection[str]
) -> list[str]:
    """Returns a line per binding that differs and may not."""
    absent = "(not set)"
    return [
        f"{key} = {there.get(key, absent)} there, {wanted.get(key, absent)} here"
        for key in sorted(there.keys() | wanted.keys())
        if there.get(key) != wanted.get(key)
        and key.rpartition("/")[2] not in changeable
    ]
