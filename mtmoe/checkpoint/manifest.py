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
FORMAT = 1
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


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What `MANIFEST.json` holds.

    Attributes:
      step: the training step after which the values were taken.
      files: file name -> {"bytes", "sha256"}; names only, never paths.
      variables: variable name -> {"shape", "dtype"}.
      versions: see `versions`.
      metadata: whatever the caller wants to find again; plain JSON.
    """

    step: int
    files: Mapping[str, Mapping[str, Any]]
    variables: Mapping[str, Mapping[str, Any]]
    versions: Mapping[str, str]
    metadata: Mapping[str, Any]

    def to_json(self) -> str:
        """Returns the text of the file, which carries a digest of itself."""
        content = {"format": FORMAT, **dataclasses.asdict(self)}
        content["sha256"] = _digest(content)
        return json.dumps(content, indent=1, sort_keys=True) + "\n"

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Reads the manifest of a checkpoint folder.

        Raises:
          CheckpointError: it is missing, damaged, or of a format we do not know.
        """
        path = folder / MANIFEST_NAME
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            digest = content.pop("sha256")
        except FileNotFoundError as error:
            raise CheckpointError(f"{folder}: {MANIFEST_NAME} is missing") from error
        except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
            raise CheckpointError(f"{path} cannot be read: {error}") from error
        if digest != _digest(content):
            raise CheckpointError(f"{path} is damaged: its digest does not match")
        if content.pop("format") != FORMAT:
            raise CheckpointError(f"{path} is not of format {FORMAT}")
        return cls(**content)

    def verify(self, folder: Path) -> None:
        """Checks every file's size and SHA-256.

        Raises:
          CheckpointError: a file is missing, shortened or changed.
        """
        for name, expected in self.files.items():
            path = folder / name
            if Path(name).name != name or not path.is_file():
                raise CheckpointError(f"{folder}: file {name!r} is missing")
            size = path.stat().st_size
            if size != expected["bytes"]:
                raise CheckpointError(
                    f"{path} has {size} bytes, {expected['bytes']} were written"
                )
            if file_sha256(path) != expected["sha256"]:
                raise CheckpointError(f"{path} is damaged: its SHA-256 does not match")


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
