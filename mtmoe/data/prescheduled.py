"""Finished batches in files, which are read by TensorFlow operations alone.

For hosts that run no Python while they read, such as TPU hosts that a coordinator
elsewhere feeds with graphs. A record is one row of a batch: the features behind each
other, four bytes a value, little-endian. File f of a set of files holds the f-th part
of the rows of each step, so that each host reads files of its own:

    DIR/MANIFEST.json
    DIR/steps-000000000/rows-00000-of-00008.tfrecord

Legend: B rows of the global batch, W values of a record.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from mtmoe.data.batch import Batch, DecoderBatch
from mtmoe.data.prescheduled_manifest import (
    PrescheduledManifest,
    RecordFeature,
    StepSet,
    check_files,
    check_identity,
    describe_file,
    read_manifest,
    temporary_name,
    write_manifest,
)
from mtmoe.data.token_cache.storage import Location, join
from mtmoe.errors import ConfigError, ManifestError
from mtmoe.ranges import Count, Natural, check_number

STEPS_PER_SET = 1000
"""Steps of a set of files: at most so many are written again after a kill."""

_FEATURES = {
    Batch: (
        "inputs",
        "targets",
        "inputs_segments",
        "targets_segments",
        "inputs_task",
        "targets_task",
    ),
    DecoderBatch: ("tokens", "segments", "prefix", "loss_weights", "token_task"),
}


class GlobalBatches(Protocol):
    """What is written: `TrainingBatches` of one host."""

    @property
    def task_names(self) -> Sequence[str]:
        """Tasks by number."""

    @property
    def shares(self) -> Mapping[str, float]:
        """Fraction of all rows by task."""

    @property
    def languages(self) -> Sequence[str]:
        """Codes by number."""

    @property
    def task_language(self) -> npt.NDArray[np.int32]:
        """Number of each task's language."""

    def batch(self, step: int) -> Batch | DecoderBatch:
        """Builds the batch of a step."""

    def iterate(self, start_step: int = 0) -> Iterator[Batch | DecoderBatch]:
        """Yields the batches from a step on, without end."""


def write_prescheduled(
    batches: GlobalBatches,
    first_step: int,
    steps: int,
    directory: Location,
    num_files: int,
    origin: Mapping[str, Any] | None = None,
    on_steps: Callable[[int], None] | None = None,
) -> PrescheduledManifest:
    """Writes the batches of some steps, or goes on where writing was interrupted.

    The manifest names a set of files once all of the set is there; a set that was being
    written when the process was killed is written again, finished ones are not. Asking
    for more steps than the folder has adds them.

    Args:
      batches: the batches of a run, all rows of them.
      first_step: the first step.
      steps: how many.
      directory: where to write; a folder, or `gs://...`.
      num_files: files of a set; it must divide the batch size, and every number of
        hosts that will read must divide it.
      origin: what the batches are made of, in JSON's types; kept in the manifest.
      on_steps: is called with the steps done, those found done among them.

    Raises:
      ConfigError: numbers that do not fit, or a folder with other batches.
      ManifestError: a set of files that was finished is missing or damaged.
    """
    directory = os.fspath(directory)
    check_number("first_step", first_step, Natural)
    check_number("steps", steps, Count)
    manifest = _manifest(batches, first_step, steps, num_files, origin or {})
    found = read_manifest(directory)
    if found is not None:
        check_identity(found, manifest)
        manifest = dataclasses.replace(manifest, sets=_finished(found, manifest))
        for part in manifest.sets:
            check_files(directory, part.files)
    if manifest != found:
        tf.io.gfile.makedirs(directory)
        write_manifest(directory, manifest)
    if on_steps:
        on_steps(sum(part.steps for part in manifest.sets))
    for first, size in _set_ranges(manifest)[len(manifest.sets) :]:
        part = _write_set(batches, manifest, first, size, directory, on_steps)
        manifest = dataclasses.replace(manifest, sets=(*manifest.sets, part))
        write_manifest(directory, manifest)
    return manifest


def prescheduled_dataset(
    directory: Location,
    batch_size: int,
    start_step: int,
    host: int,
    num_hosts: int,
) -> tf.data.Dataset:
    """Returns this host's rows of the batches from a step on, step by step.

    Args:
      directory: what `write_prescheduled` has written.
      batch_size: rows of the global batch.
      start_step: the first step wanted.
      host: this host, from 0.
      num_hosts: hosts that share a batch.

    Returns:
      A dataset of one element a step, up to the last step there is: feature -> int32
      (`loss_weights`: float32) [batch_size / num_hosts, length].

    Raises:
      ConfigError: numbers that are not those the files were written for.
      ManifestError: a file this host needs is missing, cut short or another one, or
        writing has not ended.
    """
    directory = os.fspath(directory)
    manifest = open_prescheduled(directory)
    _check_reader(manifest, batch_size, start_step, host, num_hosts)
    per_host = manifest.num_files // num_hosts
    own = slice(host * per_host, (host + 1) * per_host)
    parts = [p for p in manifest.sets if p.first_step + p.steps > start_step]
    for part in parts:
        check_files(directory, part.files[own])
    rows_per_file = batch_size // manifest.num_files
    names = [[join(directory, f.name) for f in p.files[own]] for p in parts]
    skips = [max(start_step - p.first_step, 0) * rows_per_file for p in parts]

    def records(names_of_set: tf.Tensor, skip: tf.Tensor) -> tf.data.Dataset:
        return tf.data.Dataset.from_tensor_slices(names_of_set).interleave(
            lambda name: tf.data.TFRecordDataset(name).skip(skip),
            cycle_length=per_host,
            block_length=rows_per_file,
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )

    dataset = tf.data.Dataset.from_tensor_slices((names, np.array(skips, np.int64)))
    dataset = dataset.flat_map(records)
    dataset = dataset.batch(batch_size // num_hosts, drop_remainder=True)
    dataset = dataset.map(
        functools.partial(_decode, manifest.features),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
    return dataset.prefetch(tf.data.AUTOTUNE)


def open_prescheduled(directory: Location) -> PrescheduledManifest:
    """Returns the manifest of a folder whose batches are all there.

    Raises:
      ManifestError: there is no manifest, or writing has not ended.
    """
    manifest = read_manifest(os.fspath(directory))
    if manifest is None:
        raise ManifestError(
            f"{directory} holds no pre-scheduled batches; mtmoe cache --prescheduled "
            "writes them"
        )
    if not manifest.is_complete:
        done = sum(part.steps for part in manifest.sets)
        raise ManifestError(
            f"{directory} holds {done:,} of {manifest.steps:,} steps; the command that "
            "wrote them goes on if it is given again"
        )
    return manifest


def verify_prescheduled(directory: Location) -> PrescheduledManifest:
    """Reads all files of a folder, and compares their checksums.

    Raises:
      ManifestError: a file is missing or differs, or writing has not ended.
    """
    directory = os.fspath(directory)
    manifest = open_prescheduled(directory)
    for part in manifest.sets:
        check_files(directory, part.files)
        for expected in part.files:
            if describe_file(directory, expected.name) != expected:
                path = join(directory, expected.name)
                raise ManifestError(f"{path} is damaged: its checksum differs")
    return manifest


def record_features(batch: Batch | DecoderBatch) -> dict[str, npt.NDArray[Any]]:
    """Returns the features of a batch that records hold, each of [B, length]."""
    return {name: getattr(batch, name) for name in _FEATURES[type(batch)]}


def _manifest(
    batches: GlobalBatches,
    first_step: int,
    steps: int,
    num_files: int,
    origin: Mapping[str, Any],
) -> PrescheduledManifest:
    features = record_features(batches.batch(first_step))
    batch_size = len(next(iter(features.values())))
    if num_files < 1 or batch_size % num_files:
        allowed = [n for n in range(1, batch_size + 1) if batch_size % n == 0]
        raise ConfigError(
            f"num_files is {num_files}; it must divide the batch size {batch_size}: "
            + ", ".join(map(str, allowed))
        )
    return PrescheduledManifest(
        features=tuple(
            RecordFeature(name, values.shape[1], values.dtype.name)
            for name, values in features.items()
        ),
        batch_size=batch_size,
        first_step=first_step,
        steps=steps,
        num_files=num_files,
        origin=dict(origin),
        task_names=tuple(batches.task_names),
        shares=dict(batches.shares),
        languages=tuple(batches.languages),
        task_language=tuple(map(int, batches.task_language)),
        first_batch_crc32=zlib.crc32(_records(features).tobytes()),
    )


def _set_ranges(manifest: PrescheduledManifest) -> list[tuple[int, int]]:
    """Returns first step and number of steps of each set of files."""
    end = manifest.end_step
    return [
        (first, min(STEPS_PER_SET, end - first))
        for first in range(manifest.first_step, end, STEPS_PER_SET)
    ]


def _finished(
    found: PrescheduledManifest, wanted: PrescheduledManifest
) -> tuple[StepSet, ...]:
    """Returns the sets there are of those wanted; a short last one may have grown."""
    ranges = _set_ranges(wanted)
    return tuple(
        part
        for part, (first, size) in zip(found.sets, ranges, strict=False)
        if (part.first_step, part.steps) == (first, size)
    )


def _write_set(
    batches: GlobalBatches,
    manifest: PrescheduledManifest,
    first_step: int,
    steps: int,
    directory: str,
    on_steps: Callable[[int], None] | None,
) -> StepSet:
    folder = f"steps-{first_step:09}"
    tf.io.gfile.makedirs(join(directory, folder))
    names = [
        f"{folder}/rows-{number:05}-of-{manifest.num_files:05}.tfrecord"
        for number in range(manifest.num_files)
    ]
    paths = [join(directory, name) for name in names]
    for left_behind in tf.io.gfile.glob(join(directory, folder, "*.tmp")):
        tf.io.gfile.remove(left_behind)
    bad_rows: dict[str, int] = {}
    with contextlib.ExitStack() as stack:
        writers = [
            stack.enter_context(tf.io.TFRecordWriter(temporary_name(path)))
            for path in paths
        ]
        numbers = range(first_step, first_step + steps)
        for step, batch in zip(numbers, batches.iterate(first_step), strict=False):
            records_BW = _records(record_features(batch))
            for writer, rows in zip(
                writers, np.split(records_BW, len(writers)), strict=True
            ):
                for row in rows:
                    writer.write(row.tobytes())
            for task, count in batch.bad_rows.items():
                bad_rows[task] = bad_rows.get(task, 0) + int(count)
            if on_steps:
                on_steps(step + 1 - manifest.first_step)
    for path in paths:
        tf.io.gfile.rename(temporary_name(path), path, overwrite=True)
    files = tuple(describe_file(directory, name) for name in names)
    return StepSet(first_step, steps, bad_rows, files)


def _records(features: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[np.int32]:
    """Returns the records of a batch, [B, W]: four bytes a value, little-endian."""
    columns = [
        values.astype(values.dtype.newbyteorder("<"), copy=False).view("<i4")
        for values in map(np.ascontiguousarray, features.values())
    ]
    return np.concatenate(columns, axis=1)


def _decode(
    features: tuple[RecordFeature, ...], records: tf.Tensor
) -> dict[str, tf.Tensor]:
    lengths = [feature.length for feature in features]
    values = tf.io.decode_raw(records, tf.int32, little_endian=True)
    values = tf.ensure_shape(values, [records.shape[0], sum(lengths)])
    return {
        feature.name: part
        if feature.dtype == "int32"
        else tf.bitcast(part, feature.dtype)
        for feature, part in zip(
            features, tf.split(values, lengths, axis=1), strict=True
        )
    }


def _check_reader(
    manifest: PrescheduledManifest,
    batch_size: int,
    start_step: int,
    host: int,
    num_hosts: int,
) -> None:
    if batch_size != manifest.batch_size:
        raise ConfigError(
            f"batch_size is {batch_size}; the files hold batches of "
            f"{manifest.batch_size} rows, and none other can be made of them"
        )
    if not manifest.first_step <= start_step < manifest.end_step:
        raise ConfigError(
            f"start_step is {start_step}; the files hold steps "
            f"{manifest.first_step} to {manifest.end_step - 1}"
        )
    allowed = [
        n for n in range(1, manifest.num_files + 1) if not manifest.num_files % n
    ]
    if num_hosts not in allowed:
        raise ConfigError(
            f"num_hosts is {num_hosts}; it must divide the {manifest.num_files} files "
            f"of a step: {', '.join(map(str, allowed))}"
        )
    if not 0 <= host < num_hosts:
        raise ConfigError(f"host is {host}; it must be one of 0 to {num_hosts - 1}")
