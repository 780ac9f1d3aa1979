"""The folder for everything that can be made again, and how files get into it."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from mtmoe.errors import MtmoeError


def cache_directory() -> Path:
    """Returns `$MTMOE_CACHE`, or `~/.cache/mtmoe`; the folder may not exist yet."""
    return Path(os.environ.get("MTMOE_CACHE") or Path.home() / ".cache" / "mtmoe")


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file so that a reader sees all of it or none.

    The bytes go to a temporary name in the same folder, which is then renamed; on
    failure the temporary file is removed. Others may read it, as the umask allows: a
    cache may be shared.

    Raises:
      MtmoeError: the folder cannot be written or the disk is full.
    """
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise MtmoeError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
