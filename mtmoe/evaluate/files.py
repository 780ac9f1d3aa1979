"""Writes a set of files so that a reader never meets half of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from mtmoe.errors import MtmoeError


def write_together(directory: Path, files: Mapping[str, str]) -> None:
    """Writes text files into a folder: all of them, or none.

    Everything is first written and flushed under temporary names, which is where a full
    disk shows, and then renamed in the order given.

    Args:
      directory: made when absent.
      files: content by file name.

    Raises:
      MtmoeError: the folder cannot be written; no file of it was touched.
    """
    created = not directory.exists()
    temporary = {name: directory / f".{name}.tmp" for name in files}
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            with temporary[name].open("w", encoding="utf-8", newline="") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
    except OSError as error:
        _remove(list(temporary.values()), directory if created else None)
        raise MtmoeError(
            f"cannot write {error.filename or directory}: {error.strerror}; "
            "nothing was changed"
        ) from error
    for name, path in temporary.items():
        os.replace(path, directory / name)


def _remove(paths: list[Path], directory: Path | None) -> None:
    for path in paths:
        if path.is_file():
            path.unlink()
    if directory is not None and directory.is_dir() and not any(directory.iterdir()):
        directory.rmdir()
