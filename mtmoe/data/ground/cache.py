"""The folder for everything that can be made again, and how files get into it."""

from __future__ import annotations

import os
from pathlib import Path

from mtmoe.errors import MtmoeError
from mtmoe.files import write_file


def cache_directory() -> Path:
    """Returns `$MTMOE_CACHE`, or `~/.cache/mtmoe`; the folder may not exist yet."""
    return Path(os.environ.get("MTMOE_CACHE") or Path.home() / ".cache" / "mtmoe")


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file whole, and makes its folder; see `write_file`.

    Raises:
      MtmoeError: the folder cannot be written or the disk is full.
    """
    try:
        write_file(path, content)
    except OSError as error:
        raise MtmoeError(f"cannot write {path}: {error.strerror or error}") from error
