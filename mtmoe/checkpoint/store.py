"""A folder of checkpoints: `step_N/`, each written aside, read back, then renamed.

A checkpoint is seen only when it is complete. An earlier one is deleted only after
later ones have been read from the disk and found intact, two of them at least.

Several processes write one checkpoint together, each its own shard, in a folder that
all of them see. The functions that take `processes` are called by all of them alike.
"""

from __future__ import annotations

import dataclasses
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mtmoe.checkpoint.manifest import MANIFEST_NAME, Manifest, file_sha256, versions
from mtmoe.checkpoint.pieces import Piece, check_cover
from mtmoe.checkpoint.processes import ALONE, together
from mtmoe.checkpoint.reader import CheckpointReader, read_shards
from mtmoe.checkpoint.shards import Shard, StoredPiece, write_shard
from mtmoe.engine.processes.alone import Processes
from mtmoe.errors import CheckpointError
from mtmoe.files import (
    make_temporary_folder,
    put_in_place,
    remove_folder,
    synchronize,
    temporary_folder,
    write_file,
)

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
    values: Mapping[str, np.ndarray] | Iterable[Piece],
    metadata: Mapping[str, Any],
    processes: Processes = ALONE,
    check: Callable[[str, np.ndarray], None] | None = None,
) -> Path:
    """Writes a checkpoint, reads it back, and only then gives it its name.

    Every process writes its pieces and reads them back from the disk; the first one
    then checks that together they make up every variable, writes the manifest, and
    renames the folder. Either all processes return, or all raise an error.

    Args:
      directory: the folder of checkpoints; made if need be. All processes see it.
      step: the step the values belong to.
      values: this process's pieces, each slice of a variable being given by one process
        alone; or whole variables by name, if there is one process.
      metadata: plain JSON to keep with them; that of the first process counts.
      processes: all that write.
      check: called with name and values of each piece before it is written; what it
        raises ends the save.

    Returns:
      The checkpoint's folder.

    Raises:
      CheckpointError: it could not be written (a full disk, say), reads back
        differently, or the pieces leave a hole or overlap; what was written is removed
        and earlier checkpoints are as before.
    """
    final = step_folder(directory, step)
    temporary = temporary_folder(final)
    pieces = (
        [Piece.whole(name, value) for name, value in values.items()]
        if isinstance(values, Mapping)
        else values
    )
    first = processes.index == 0

    def write() -> dict[str, str]:
        name = write_shard(
            temporary, step, pieces, processes.index, processes.count, check
        )
        return {"index": name, "sha256": file_sha256(temporary / name)}

    try:
        together(
            processes,
            f"step {step}: folder",
            lambda: make_temporary_folder(final) if first else None,
        )
        written = together(processes, f"step {step}: shards", write)
        together(
            processes,
            f"step {step}: manifest",
            lambda: _finish(final, step, written, metadata) if first else None,
        )
    except Exception as error:
        if first:
            shutil.rmtree(temporary, ignore_errors=True)
        if not isinstance(error, (OSError, CheckpointError)):
            raise
        raise CheckpointError(
            f"checkpoint {final} could not be written: {error}\n"
            f"Earlier checkpoints are untouched: steps {steps(directory) or 'none'}."
        ) from error
    return final


def open(directory: Path | str, step: int, finite: bool = True) -> CheckpointReader:
    """Opens a checkpoint, to read any slice of any variable.

    With `finite`, reading refuses values that are infinite or not a number.

    Raises:
      CheckpointError: it is absent, or its manifest or an index is damaged, or its
        pieces do not make up every variable. What is read is checked when it is read.
    """
    return CheckpointReader(_existing(directory, step), finite)


def verify(directory: Path | str, step: int, processes: Processes = ALONE) -> Manifest:
    """Checks every byte of a checkpoint, each process a part of the shards.

    Raises:
      CheckpointError: it is absent or damaged; the message says which file and how.
    """

    def check() -> None:
        folder = _existing(directory, step)
        manifest = Manifest.read(folder)
        mine = slice(processes.index, None, processes.count)
        if manifest.format == 1:
            for name in list(manifest.files)[mine]:
                manifest.verify_file(folder, name)
        else:
            for shard in read_shards(folder, manifest)[mine]:
                shard.verify()

    together(processes, f"step {step}: verify", check)
    return Manifest.read(step_folder(directory, step))


def latest(directory: Path | str, processes: Processes = ALONE) -> int | None:
    """Returns the newest step whose checkpoint is intact, or None if there is none.

    What is passed over is said on stderr, with the reason.

    Raises:
      CheckpointError: there are checkpoints, and every one is damaged.
    """
    reasons: list[str] = []
    for step in reversed(_agreed_steps(directory, processes)):
        try:
            verify(directory, step, processes)
        except (CheckpointError, OSError) as error:
            reasons.append(f"step {step}: {error}")
            continue
        if processes.index == 0:
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
    """Reads a checkpoint whole, after verifying every byte of it.

    Raises:
      CheckpointError: it is absent or damaged, or a value of it is not finite.
    """
    verify(directory, step)
    reader = open(directory, step)
    values = {name: reader.read(name) for name in sorted(reader.variables)}
    return Checkpoint(step, values, reader.metadata)


def prune(directory: Path | str, keep: int, processes: Processes = ALONE) -> list[int]:
    """Deletes what is older than the newest `keep` checkpoints that are intact.

    Damaged ones do not count, and stay where they are newer than the oldest that is
    kept: without them `latest` could not say what it passes over. Two intact ones are
    left at least, and nothing is deleted where there are not so many. All processes
    verify, the first one deletes.

    Returns:
      The steps whose checkpoints were deleted, ascending.
    """
    remaining = _agreed_steps(directory, processes)
    wanted = max(keep, MINIMUM_KEPT)
    if len(remaining) <= wanted:
        return []
    while wanted and remaining:
        wanted -= is_intact(directory, remaining.pop(), processes)

    def delete() -> None:
        for step in remaining if processes.index == 0 else ():
            remove_folder(step_folder(directory, step))

    if remaining:
        together(processes, f"steps {remaining}: delete", delete)
    return remaining


def clean(directory: Path | str) -> list[str]:
    """Deletes what an interrupted `save` or `prune` left; returns the names.

    Of several processes one alone calls it, before any of them saves.
    """
    left = sorted(Path(directory).glob("step_*.tmp"))
    for path in left:
        shutil.rmtree(path)
    return [path.name for path in left]


def is_intact(directory: Path | str, step: int, processes: Processes = ALONE) -> bool:
    """Returns whether every byte of a checkpoint is as it was written."""
    try:
        verify(directory, step, processes)
    except (CheckpointError, OSError):
        return False
    return True


def _existing(directory: Path | str, step: int) -> Path:
    folder = step_folder(directory, step)
    if not folder.is_dir():
        raise CheckpointError(
            f"{directory} has no checkpoint of step {step}; it has "
            f"{steps(directory) or 'none'}"
        )
    return folder


def _agreed_steps(directory: Path | str, processes: Processes) -> list[int]:
    """Returns the steps that the first process sees."""
    return together(processes, "steps", lambda: steps(directory))[0]


def _finish(
    final: Path,
    step: int,
    written: list[Any],
    metadata: Mapping[str, Any],
) -> None:
    """Checks what all processes have written, and makes a checkpoint of it."""
    folder = temporary_folder(final)
    files: dict[str, dict[str, Any]] = {}
    pieces: list[StoredPiece] = []
    for number, answer in enumerate(written):
        path = folder / answer["index"]
        if not path.is_file():
            raise CheckpointError(
                f"process {number} of {len(written)} has written {path}, and the first "
                "process does not see it: the model folder must be in a file system "
                "that all processes share"
            )
        if file_sha256(path) != answer["sha256"]:
            raise CheckpointError(f"{path} is not what process {number} has written")
        pieces += Shard.read(folder, path.name).pieces
        files[path.name] = {
            "bytes": path.stat().st_size,
            "sha256": answer["sha256"],
        }
    variables = check_cover(
        ((p.name, p.shape, p.dtype, p.box) for p in pieces), str(folder)
    )
    manifest = Manifest(
        step=step,
        files=files,
        variables={
            name: {"shape": list(shape), "dtype": dtype}
            for name, (shape, dtype) in variables.items()
        },
        versions=versions(),
        metadata=metadata,
        written=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )
    write_file(folder / MANIFEST_NAME, manifest.to_json())
    synchronize(folder)
    Manifest.read(folder)
    put_in_place(final)
