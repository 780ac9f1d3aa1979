"""Writes a split that is small into the default root, at first use."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import shutil
import sys
import threading
import time
import uuid
from pathlib import Path

import seqio

from mtmoe.data.ground.cache import cache_directory
from mtmoe.data.token_cache.files.manifest import (
    SplitManifest,
    load_manifest,
)
from mtmoe.data.token_cache.writer import shard_jobs, write_shard, write_split_manifest
from mtmoe.errors import (
    ManifestError,
    MtmoeError,
)

_BUILDING = "building-"  # no split is called so: its name ends in 16 digits
_ABANDONED_AFTER = 24 * 3600.0  # seconds without a change
_PROGRESS_EVERY = 10.0  # seconds
_MOST_MOVES = 20


def default_root() -> Path:
    """Returns the folder that is looked through last, and written at first use."""
    return cache_directory() / "tasks"


def build_split(
    task: seqio.Task, split: str, directory: str, limit: int | None
) -> SplitManifest:
    """Writes a split beside its place, then moves it there in one step.

    Processes that build the same split at once do not meet; the first one's stays.
    """
    started = time.monotonic()
    place = Path(directory)
    parent = place.parent
    parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(parent)
    building = parent / f"{_BUILDING}{place.name}-{uuid.uuid4().hex}"
    try:
        jobs = [
            dataclasses.replace(job, directory=str(building))
            for job in shard_jobs(task, split, default_root())
        ]
        count = _Count(limit)
        for job in jobs:
            facts = write_shard(task, job, count.add)
            count.before += facts.examples
        manifest = write_split_manifest(task, jobs)
        _move_into_place(building, place, manifest)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    _PROGRESS.add(manifest, time.monotonic() - started)
    return manifest


def _move_into_place(building: Path, place: Path, manifest: SplitManifest) -> None:
    for _ in range(_MOST_MOVES):
        try:
            building.rename(place)
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise MtmoeError(f"cannot write {place}: {error.strerror}") from error
        try:
            if load_manifest(str(place)).fingerprint == manifest.fingerprint:
                return  # another process was here first
        except (FileNotFoundError, ManifestError):
            pass
        useless = building.with_name(f"{_BUILDING}useless-{uuid.uuid4().hex}")
        with contextlib.suppress(FileNotFoundError):  # another process moved it
            place.rename(useless)
        shutil.rmtree(useless, ignore_errors=True)
    raise MtmoeError(f"cannot write {place}: others keep writing there")


def _remove_abandoned(parent: Path) -> None:
    """Removes what killed processes left, once nothing changed in it for a day."""
    for left in parent.glob(f"{_BUILDING}*"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - left.stat().st_mtime > _ABANDONED_AFTER:
                shutil.rmtree(left, ignore_errors=True)


class TooLargeError(Exception):
    """There are more examples than may be cached in passing."""


class _Count:
    """Counts the examples of a split over its shards, and stops where it is too many.

    Attributes:
      before: examples of the shards that are written.
    """

    def __init__(self, limit: int | None):
        self.before = 0
        self._limit = limit

    def add(self, examples: int, tokens: int) -> None:
        """Takes the progress of a shard."""
        del tokens
        if self._limit is not None and self.before + examples > self._limit:
            raise TooLargeError


class _Progress:
    """Tells, now and then, what was cached in passing, if it takes long."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._splits = 0
        self._tokens = 0
        self._seconds = 0.0
        self._next = _PROGRESS_EVERY

    def add(self, manifest: SplitManifest, seconds: float) -> None:
        """Takes what was written in some seconds."""
        with self._lock:
            self._splits += 1
            self._tokens += manifest.num_tokens
            self._seconds += seconds
            if self._seconds < self._next:
                return
            self._next = self._seconds + _PROGRESS_EVERY
            print(
                f"token cache: {self._splits} splits of tasks, {self._tokens:,} "
                f"tokens, {self._seconds:.0f} s (kept in {default_root()})",
                file=sys.stderr,
            )


_PROGRESS = _Progress()
