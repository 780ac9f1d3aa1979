"""What checkpoints there are, and whether they are sound."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

from mtmoe.checkpoint import store
from mtmoe.checkpoint.manifest import MANIFEST_NAME, Manifest
from mtmoe.errors import CheckpointError

INTACT, DAMAGED, UNCHECKED = "intact", "damaged", "not checked"


@dataclasses.dataclass(frozen=True)
class CheckpointFacts:
    """One checkpoint, from outside.

    Attributes:
      step: its step.
      written: when, in UTC, as `2026-03-01T12:00:00Z`; empty if that cannot be told.
      bytes: size of all its files.
      shards: how many processes wrote it; 0 if its manifest cannot be read.
      versions: of the packages that wrote it.
      state: `INTACT`, `DAMAGED` or `UNCHECKED`.
      reason: what is wrong with a damaged one.
      seconds: how long checking took.
    """

    step: int
    written: str
    bytes: int
    shards: int
    versions: dict[str, str]
    state: str
    reason: str = ""
    seconds: float = 0.0


def checkpoint_facts(directory: Path, step: int, check: bool = True) -> CheckpointFacts:
    """Looks at a checkpoint that is there, at every byte of it if it is to `check`."""
    folder = store.step_folder(directory, step)
    size = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    started = time.monotonic()
    state, reason = UNCHECKED, ""
    written, shards, versions = "", 0, {}
    try:
        manifest = Manifest.read(folder)
        modified = (folder / MANIFEST_NAME).stat().st_mtime
        written = manifest.written or utc(modified)
        shards = len(manifest.files) if manifest.format > 1 else 1
        versions = dict(manifest.versions)
        if check:
            store.verify(directory, step)
            state = INTACT
    except (CheckpointError, OSError) as error:
        state, reason = DAMAGED, str(error)
    seconds = time.monotonic() - started
    return CheckpointFacts(
        step, written, size, shards, versions, state, reason, seconds
    )


def unfinished(directory: Path) -> list[str]:
    """Returns the names of folders that an interrupted save or deletion left."""
    return sorted(path.name for path in directory.glob("step_*.tmp"))


def utc(seconds: float) -> str:
    """Returns a time as `2026-03-01T12:00:00Z`."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
