"""What a folder of pre-scheduled batches says of itself, and whether that is so."""

from __future__ import annotations

import dataclasses
import json
import os
import zlib
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from mtmoe.data.token_cache.storage import file_size, join, read_file, write_file
from mtmoe.errors import ConfigError, ManifestError

MANIFEST_NAME = "MANIFEST.json"
_FORMAT = 1
_HEAD_BYTES = 1 << 16
_BLOCK_BYTES = 1 << 22


@dataclasses.dataclass(frozen=True)
class RecordFeature:
    """One feature of a record.

    Attributes:
      name: its name, `inputs` for one.
      length: values in a record, of four bytes each.
      dtype: `int32` or `float32`.
    """

    name: str
    length: int
    dtype: str


@dataclasses.dataclass(frozen=True)
class RecordsFile:
    """One file of records.

    Attributes:
      name: path below the folder.
      bytes: its size.
      crc32: of all of it.
      head_crc32: of its first 64 KiB, so that a foreign file of the same size is seen
        without reading everything.
    """

    name: str
    bytes: int
    crc32: int
    head_crc32: int


@dataclasses.dataclass(frozen=True)
class StepSet:
    """The files of some steps in a row.

    Attributes:
      first_step: the first of them.
      steps: how many.
      bad_rows: examples left empty because their record was damaged, by task.
      files: file f has the f-th part of the rows of each of the steps.
    """

    first_step: int
    steps: int
    bad_rows: Mapping[str, int]
    files: tuple[RecordsFile, ...]


@dataclasses.dataclass(frozen=True)
class PrescheduledManifest:
    """All that a reader has to know.

    Attributes:
      features: of a record, in order.
      batch_size: rows of a global batch.
      first_step: the first step there is.
      steps: steps there are, or will be once writing has ended.
      num_files: files of each set.
      origin: what the batches were made of: mixture, seed, fingerprint of the data.
      task_names: tasks by number.
      shares: fraction of all rows by task.
      languages: codes by number.
      task_language: number of each task's language.
      first_batch_crc32: of the records of step `first_step`.
      sets: sets of files that are complete, in the order of their steps.
    """

    features: tuple[RecordFeature, ...]
    batch_size: int
    first_step: int
    steps: int
    num_files: int
    origin: Mapping[str, Any]
    task_names: tuple[str, ...]
    shares: Mapping[str, float]
    languages: tuple[str, ...]
    task_language: tuple[int, ...]
    first_batch_crc32: int
    sets: tuple[StepSet, ...] = ()

    @property
    def end_step(self) -> int:
        """The step behind the last."""
        return self.first_step + self.steps

    @property
    def values_per_record(self) -> int:
        """Values of four bytes in a record."""
        return sum(feature.length for feature in self.features)

    @property
    def is_complete(self) -> bool:
        """Whether the sets hold all of the steps."""
        return sum(part.steps for part in self.sets) == self.steps

    def identity(self) -> dict[str, Any]:
        """What must be the same for writing to go on in a folder."""
        facts = _plain(dataclasses.replace(self, sets=()))
        del facts["steps"], facts["sets"]
        return facts


def read_manifest(directory: str) -> PrescheduledManifest | None:
    """Returns the manifest of a folder; None if it has none.

    Raises:
      ManifestError: the manifest is no such file, or of another version's format.
    """
    path = join(directory, MANIFEST_NAME)
    try:
        facts = json.loads(read_file(path))
        found = facts.pop("format")
        if found != _FORMAT:
            raise ManifestError(
                f"{path} has format {found!r}; this version reads format {_FORMAT}"
            )
        return _from_plain(facts)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ManifestError(
            f"{path} is no manifest of pre-scheduled batches: {error!r}"
        ) from error


def write_manifest(directory: str, manifest: PrescheduledManifest) -> None:
    """Writes the manifest so that a reader sees the old one or the new one."""
    content = json.dumps({"format": _FORMAT, **_plain(manifest)}, indent=1)
    write_file(join(directory, MANIFEST_NAME), f"{content}\n".encode())


def temporary_name(path: str) -> str:
    """Returns what a file is called while this process writes it."""
    return f"{path}.{os.getpid()}.tmp"


def describe_file(directory: str, name: str) -> RecordsFile:
    """Reads a file that was written now, and returns its facts."""
    crc32 = size = head_crc32 = 0
    with tf.io.gfile.GFile(join(directory, name), "rb") as file:
        while block := file.read(_BLOCK_BYTES):
            if not size:
                head_crc32 = zlib.crc32(block[:_HEAD_BYTES])
            crc32 = zlib.crc32(block, crc32)
            size += len(block)
    return RecordsFile(name, size, crc32, head_crc32)


def check_files(directory: str, files: tuple[RecordsFile, ...]) -> None:
    """Compares files with their facts: size and beginning.

    Raises:
      ManifestError: one is missing, cut short, or another file.
    """
    for expected in files:
        path = join(directory, expected.name)
        size = file_size(path)
        if size is None:
            raise ManifestError(f"{path} is missing; {_ADVICE}")
        if size != expected.bytes:
            raise ManifestError(
                f"{path} has {size:,} bytes, the manifest says {expected.bytes:,}; "
                + _ADVICE
            )
        with tf.io.gfile.GFile(path, "rb") as file:
            head = file.read(_HEAD_BYTES)
        if zlib.crc32(head) != expected.head_crc32:
            raise ManifestError(
                f"{path} is not the file that the manifest describes: its first "
                f"{len(head):,} bytes have another checksum; {_ADVICE}"
            )


def check_identity(old: PrescheduledManifest, new: PrescheduledManifest) -> None:
    """Raises ConfigError if the folder of `old` is not what `new` would write."""
    was, wanted = old.identity(), new.identity()
    for key in wanted:
        if was[key] != wanted[key]:
            raise ConfigError(
                f"the folder holds batches with another {key} ({_shown(was[key])}) "
                f"than those to be written ({_shown(wanted[key])}); "
                "choose another folder, or remove this one"
            )
    if old.steps > new.steps:
        raise ConfigError(
            f"the folder holds, or will hold, {old.steps:,} steps and "
            f"{new.steps:,} are to be written; choose another folder, or remove it"
        )


_ADVICE = "write it again by the command that wrote it, or copy it again"


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 200 else text[:200] + "…"


def _plain(manifest: PrescheduledManifest) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(manifest)))
    return facts


def _from_plain(facts: dict[str, Any]) -> PrescheduledManifest:
    features = tuple(RecordFeature(**feature) for feature in facts.pop("features"))
    sets = tuple(
        StepSet(**{**part, "files": tuple(RecordsFile(**f) for f in part["files"])})
        for part in facts.pop("sets")
    )
    for name in ("task_names", "languages", "task_language"):
        facts[name] = tuple(facts[name])
    return PrescheduledManifest(features=features, sets=sets, **facts)
