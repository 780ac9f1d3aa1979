"""A folder of checkpoints: `step_N/`, each written aside, read back, then renamed.

A checkpoint is seen only when it is complete. An earlier one is deleted only after a
later one has been read back from the disk, and two are always kept.
"""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mtmoe.checkpoint.finite import check_finite
from mtmoe.checkpoint.manifest import MANIFEST_NAME, Manifest, file_sha256, versions
from mtmoe.checkpoint.tensors import read_tensors, write_tensors
from mtmoe.errors import CheckpointError

MINIMUM_KEPT = 2
_STEP = re.compile(r"step_(\d+)$")


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """What was saved after a step.

    Attributes:
      step: the training step after which it was taken.
      values: every variable by name, optimizer state included.
      metadata: what the caller of `save` gave.
    """

    step: int
    values: dict[str, np.ndarray]
    metadata: Mapping[str, Any]


def step_folder(directory: Path | str, step: int) -> Path:
    """Returns the folder of one step's checkpoint, whether or not it exists."""
    return Path(directory) / f"step_{step}"


def steps(directory: Path | str) -> list[int]:
    """Returns the steps that have a checkpoint, ascending, without verifying them."""
    folders = Path(directory).glob("step_*")
    return sorted(
        int(match[1]) for path in folders if (match := _STEP.match(path.name))
    )


def save(
    directory: Path | str,
    step: int,
    values: Mapping[str, np.ndarray],
    metadata: Mapping[str, Any],
) -> Path:
    """Writes a checkpoint, reads it back, and only then gives it its name.

    Args:
      directory: the folder of checkpoints; made if need be.
      step: the step the values belong to.
      values: every variable by name.
      metadata: plain JSON to keep with them.

    Returns:
      The checkpoint's folder.

    Raises:
      CheckpointError: it could not be written (a full disk, say) or reads back
        differently; what was written is removed and earlier checkpoints are as before.
    """
    final = step_folder(directory, step)
    temporary = final.with_name(final.name + ".tmp")
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        if temporary.exists():
            shutil.rmtree(temporary)
        temporary.mkdir()
        _write(temporary, step, values, metadata)
        _read_back(temporary, values)
        _rename(temporary, final)
    except (OSError, CheckpointError) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise CheckpointError(
            f"checkpoint {final} could not be written: {error}\n"
            f"Earlier checkpoints are untouched: steps {steps(directory) or 'none'}."
        ) from error
    return final


def verify(directory: Path | str, step: int) -> Manifest:
    """Checks a checkpoint against its manifest, without loading it.

    Raises:
      CheckpointError: it is absent or damaged; the message says which file and how.
    """
    folder = step_folder(directory, step)
    if not folder.is_dir():
        raise CheckpointError(
            f"{directory} has no checkpoint of step {step}; it has "
            f"{steps(directory) or 'none'}"
        )
    manifest = Manifest.read(folder)
    manifest.verify(folder)
    return manifest


def latest(directory: Path | str) -> int | None:
    """Returns the newest step whose checkpoint is intact, or None if there is none.

    What is passed over is said on stderr, with the reason.

    Raises:
      CheckpointError: there are checkpoints, and every one is damaged.
    """
    reasons: list[str] = []
    for step in reversed(steps(directory)):
        try:
            verify(directory, step)
        except CheckpointError as error:
            reasons.append(f"step {step}: {error}")
            continue
        for reason in reasons:
            print(f"mtmoe: checkpoint passed over, {reason}", file=sys.stderr)
        return step
    if reasons:
        raise CheckpointError(
            f"no checkpoint in {directory} can be used:\n  "
            + "\n  ".join(reasons)
            + "\nRemove that folder to start again from step 0."
        )
    return None


def load(directory: Path | str, step: int) -> Checkpoint:
    """Reads a verified checkpoint.

    Raises:
      CheckpointError: it is absent or damaged, or a value of it is not finite.
    """
    manifest = verify(directory, step)
    folder = step_folder(directory, step)
    values = read_tensors(folder)
    check_finite(values, str(folder))
    return Checkpoint(step, values, manifest.metadata)


def prune(directory: Path | str, keep: int) -> list[int]:
    """Deletes all but the newest `keep` checkpoints, and never leaves fewer than two.

    Returns:
      The steps whose checkpoints were deleted.
    """
    old = steps(directory)[: -max(keep, MINIMUM_KEPT)]
    for step in old:
        _remove(step_folder(directory, step))
    return old


def clean(directory: Path | str) -> list[str]:
    """Deletes what an interrupted `save` or `prune` left; returns the names."""
    left = sorted(Path(directory).glob("step_*.tmp"))
    for path in left:
        shutil.rmtree(path)
    return [path.name for path in left]


def _write(
    folder: Path,
    step: int,
    values: Mapping[str, np.ndarray],
    metadata: Mapping[str, Any],
) -> None:
    files = write_tensors(folder, values)
    manifest = Manifest(
        step=step,
        files={
            name: {
                "bytes": (folder / name).stat().st_size,
                "sha256": file_sha256(folder / name),
            }
            for name in files
        },
        variables={
            name: {"shape": list(value.shape), "dtype": str(value.dtype)}
            for name, value in values.items()
        },
        versions=versions(),
        metadata=metadata,
    )
    (folder / MANIFEST_NAME).write_text(manifest.to_json(), encoding="utf-8")
    for name in [*files, MANIFEST_NAME]:
        _synchronize(folder / name)
    _synchronize(folder)


def _read_back(folder: Path, values: Mapping[str, np.ndarray]) -> None:
    """Compares what is on the disk with what was meant, bit for bit."""
    Manifest.read(folder).verify(folder)
    read = read_tensors(folder)
    differing = [
        name
        for name in values.keys() | read.keys()
        if name not in read
        or name not in values
        or read[name].dtype != values[name].dtype
        or read[name].shape != values[name].shape
        or read[name].tobytes() != values[name].tobytes()
    ]
    if differing:
        raise CheckpointError(f"read back differently: {sorted(differing)[:3]}")


def _rename(temporary: Path, final: Path) -> None:
    if final.exists():  # a damaged one, or one of a run that is being repeated
        _remove(final)
    os.rename(temporary, final)
    _synchronize(final.parent)


def _remove(folder: Path) -> None:
    """Deletes a checkpoint so that an interruption leaves no half of it in sight."""
    leaving = folder.with_name(folder.name + ".old.tmp")
    if leaving.exists():
        shutil.rmtree(leaving)
    os.rename(folder, leaving)
    shutil.rmtree(leaving)


def _synchronize(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
