"""The folder for everything that can be made again, and how files get into it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from mtmoe.errors import MtmoeError


def cache_directory() -> Path:
    """Returns `$MTMOE_CACHE`, or `~/.cache/mtmoe`; the folder may not exist yet."""
    return Path(os.environ.get("MTMOE_CACHE") or Path.home() / ".cache" / "mtmoe")


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file so that a reader sees all of it or none.

    The bytes go to a temporary name in the same folder, which is then renamed; on
    failure the temporary file is removed.

    Raises:
      MtmoeError: the folder cannot be written or the disk is full.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(
            dir=path.parent, prefix=path.name + ".", suffix=".tmp"
        )
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise MtmoeError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)
