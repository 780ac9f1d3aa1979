"""The inventory of one checkpoint: what belongs to it and how to tell it is intact."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mtmoe.errors import CheckpointError

MANIFEST_NAME = "MANIFEST.json"
# 1: TensorFlow's files, one set; 2: shards, each with an index of its own.
FORMATS = (1, 2)
_BLOCK_BYTES = 1 << 20
_PACKAGES = ("mtmoe", "tensorflow", "mesh-tensorflow", "numpy", "seqio", "t5")


def versions() -> dict[str, str]:
    """Returns the version of Python and of each package that decides a run's numbers.

    A package that is not installed is left out.
    """
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package.replace("-", "_")] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def file_sha256(path: Path) -> str:
    """Returns the SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


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


def signed_json(content: Mapping[str, Any]) -> str:
    """Returns JSON that carries a digest of itself."""
    content = {**content, "sha256": _digest(content)}
    return json.dumps(content, indent=1, sort_keys=True) + "\n"


def read_signed_json(path: Path) -> dict[str, Any]:
    """Reads what `signed_json` made.

    Raises:
      CheckpointError: the file is missing or damaged.
    """
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text)
        digest = content.pop("sha256")
    except FileNotFoundError as error:
        raise CheckpointError(f"{path.parent}: {path.name} is missing") from error
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    # A changed blank would not change the content: the text itself is compared too.
    if digest != _digest(content) or text != signed_json(content):
        raise CheckpointError(f"{path} is damaged: its digest does not match")
    return dict(content)


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What `MANIFEST.json` holds.

    Attributes:
      step: the training step after which the values were taken.
      files: file name -> {"bytes", "sha256"}; names only, never paths. In format 2 they
        are the indexes of the shards, in the order of the processes.
      variables: variable name -> {"shape", "dtype"}.
      versions: see `versions`.
      metadata: whatever the caller wants to find again; plain JSON.
      format: one of `FORMATS`.
      written: when, in UTC, as in `2026-03-01T12:00:00Z`; empty in format 1.
    """

    step: int
    files: Mapping[str, Mapping[str, Any]]
    variables: Mapping[str, Mapping[str, Any]]
    versions: Mapping[str, str]
    metadata: Mapping[str, Any]
    format: int = 2
    written: str = ""

    def to_json(self) -> str:
        """Returns the text of the file, which carries a digest of itself."""
        return signed_json(dataclasses.asdict(self))

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Reads the manifest of a checkpoint folder.

        Raises:
          CheckpointError: it is missing, damaged, or of a format we do not know.
        """
        path = folder / MANIFEST_NAME
        content = read_signed_json(path)
        if content.get("format") not in FORMATS:
            raise CheckpointError(
                f"{path} is of format {content.get('format')}; this version of mtmoe "
                f"reads formats {' and '.join(map(str, FORMATS))}"
            )
        return cls(**content)

    def shapes(self) -> dict[str, tuple[tuple[int, ...], str]]:
        """Returns shape and dtype of each variable."""
        return {
            name: (tuple(variable["shape"]), str(variable["dtype"]))
            for name, variable in self.variables.items()
        }

    def verify_file(self, folder: Path, name: str) -> None:
        """Checks size and SHA-256 of one of `files`.

        Raises:
          CheckpointError: it is missing, shortened or changed.
        """
        expected = self.files[name]
        path = check_file(folder, name, expected["bytes"])
        if file_sha256(path) != expected["sha256"]:
            raise CheckpointError(f"{path} is damaged: its SHA-256 does not match")


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
