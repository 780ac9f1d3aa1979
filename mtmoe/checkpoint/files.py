"""Files and folders that survive a crash: written, synchronised, then renamed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from mtmoe.errors import CheckpointError


def synchronize(path: Path) -> None:
    """Waits until a file's bytes, or a folder's names, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Writes a file and synchronises it.

    Raises:
      OSError: the disk is full, say; it names the file.
    """
    with naming(path), path.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())


class naming:  # noqa: N801 (a context manager reads like a function)
    """A context in which an `OSError` without a file's name gets one."""

    def __init__(self, path: Path):
        """Takes the file's path."""
        self._path = path

    def __enter__(self) -> None:
        """Does nothing."""

    def __exit__(
        self, kind: object, error: BaseException | None, trace: object
    ) -> None:
        """Names the file: the system's own error of a write does not."""
        if isinstance(error, OSError) and error.errno and error.filename is None:
            raise OSError(error.errno, error.strerror, str(self._path)) from error


def put_in_place(temporary: Path, final: Path) -> None:
    """Gives a finished folder its name, in place of what may have it."""
    if final.exists():  # a damaged one, or one of a run that is being repeated
        remove(final)
    os.rename(temporary, final)
    synchronize(final.parent)


def remove(folder: Path) -> None:
    """Deletes a folder so that an interruption leaves no half of it in sight."""
    leaving = folder.with_name(folder.name + ".old.tmp")
    if leaving.exists():
        shutil.rmtree(leaving)
    os.rename(folder, leaving)
    shutil.rmtree(leaving)


def check_file(folder: Path, name: str, size: int) -> Path:
    """Returns the path of a checkpoint's file.

    Raises:
      CheckpointError: it is not there or of another size, or the name leads elsewhere.
    """
    path = folder / name
    if Path(name).name != name or not path.is_file():
        raise CheckpointError(f"{folder}: file {name!r} is missing")
    found = path.stat().st_size
    if found != size:
        raise CheckpointError(f"{path} has {found} bytes, {size} were written")
    return path
