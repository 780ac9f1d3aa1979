"""Writes a set of files so that a reader never meets half of it.

The files are written under temporary names; then a list of them is put in place, which
decides: without it nothing has happened, with it all of them count. A process that is
killed behind that point has the rest done by whoever writes or reads the folder next.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from mtmoe.errors import MtmoeError

PENDING_NAME = ".renames.json"
"""Lists the files of a folder that are written and still have temporary names."""


def write_together(directory: Path, files: Mapping[str, str]) -> None:
    """Writes text files into a folder: all of them, or none.

    Args:
      directory: made when absent.
      files: content by file name.

    Raises:
      MtmoeError: the folder cannot be written; no file of it was touched.
    """
    created = not directory.exists()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        finish_writing(directory)
        _check_places(directory, files)
        for name, content in files.items():
            _write(_temporary(directory, name), content)
        _write(_temporary(directory, PENDING_NAME), json.dumps(list(files)))
        os.replace(_temporary(directory, PENDING_NAME), directory / PENDING_NAME)
    except OSError as error:
        _remove(_temporary(directory, name) for name in (*files, PENDING_NAME))
        if created:
            with contextlib.suppress(OSError):
                directory.rmdir()
        raise MtmoeError(
            f"cannot write {error.filename or directory}: {error.strerror}; "
            "nothing was changed"
        ) from error
    finish_writing(directory)


def finish_writing(directory: Path) -> None:
    """Gives the files their names that a killed process had written but not renamed.

    Args:
      directory: a folder that `write_together` writes to; it may be absent.

    Raises:
      MtmoeError: it cannot be written.
    """
    pending = directory / PENDING_NAME
    try:
        names = json.loads(pending.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # it has its name already
                os.replace(_temporary(directory, name), directory / name)
        pending.unlink(missing_ok=True)
    except OSError as error:
        raise MtmoeError(
            f"{directory} holds files that are written but have no names yet, and "
            f"cannot be given them ({error.filename}: {error.strerror}); make the "
            "folder writable and run the command again"
        ) from error


def _temporary(directory: Path, name: str) -> Path:
    return directory / f".{name}.tmp"


def _check_places(directory: Path, names: Iterable[str]) -> None:
    """Raises IsADirectoryError where a file cannot take its name."""
    for name in names:
        if (directory / name).is_dir():
            raise IsADirectoryError(
                errno.EISDIR, "there is a folder of that name", str(directory / name)
            )


def _write(path: Path, content: str) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        with contextlib.suppress(OSError):
            path.unlink()
