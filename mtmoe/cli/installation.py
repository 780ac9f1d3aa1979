"""Which packages are installed, and whether each is whole.

Some distributions write into one and the same folder: `seqio` and `seqio-nightly` are
both `seqio/`, and `pip install t5` asks for the second. What then lies on disk is a mix
that the package manager reports as two healthy packages. Whoever was written last wins
file by file, so a distribution is judged by its own record: it is whole when every
Python file it installed still has the size and SHA-256 it was installed with.

Nothing here imports the packages it looks at.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution
from pathlib import Path

# The distribution that is wanted, and those that write into the same folder.
TWINS: dict[str, tuple[str, ...]] = {
    "seqio": ("seqio-nightly",),
    "tensorflow-datasets": ("tfds-nightly",),
}


@dataclass(frozen=True)
class Mix:
    """Distributions that were installed into one folder.

    Attributes:
      wanted: the distribution that should own the folder.
      twins: the others found, each as "name version".
      overwritten: files of `wanted` that are missing or another's, as recorded paths.
      version: installed version of `wanted`; empty if only twins are there.
    """

    wanted: str
    twins: tuple[str, ...]
    overwritten: tuple[str, ...]
    version: str

    @property
    def is_harmless(self) -> bool:
        """Whether every Python file in the folder is the wanted distribution's."""
        return bool(self.version) and not self.overwritten

    @property
    def mend(self) -> str:
        """The command that leaves the wanted distribution alone in its folder."""
        names = " ".join(twin.split()[0] for twin in self.twins)
        wanted = f"{self.wanted}=={self.version}" if self.version else self.wanted
        return (
            f"pip uninstall -y {names} && "
            f"pip install --no-deps --force-reinstall {wanted}"
        )


def installed_version(name: str, path: Sequence[str] | None = None) -> str | None:
    """Returns the installed version of a distribution, or None.

    Args:
      name: its name on the package index.
      path: folders to look in instead of `sys.path`.
    """
    distribution = _find(name, path)
    return None if distribution is None else distribution.version


def overwritten_files(distribution: Distribution) -> Iterator[str]:
    """Yields the recorded Python files that are gone or have other bytes.

    Args:
      distribution: an installed distribution; one without a record yields nothing.
    """
    for file in distribution.files or ():
        if file.suffix != ".py" or file.hash is None:
            continue
        path = Path(str(file.locate()))
        if not path.is_file():
            yield str(file)
            continue
        digest = hashlib.new(file.hash.mode, path.read_bytes()).digest()
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != file.hash.value:
            yield str(file)


def mixes(path: Sequence[str] | None = None) -> list[Mix]:
    """Returns every folder that more than one distribution was installed into.

    A twin installed alone is a mix too: the wanted distribution is not there.

    Args:
      path: folders to look in instead of `sys.path`.
    """
    found = []
    for wanted, names in TWINS.items():
        twins = [twin for name in names if (twin := _find(name, path)) is not None]
        if not twins:
            continue
        owner = _find(wanted, path)
        found.append(
            Mix(
                wanted=wanted,
                twins=tuple(
                    f"{twin.metadata['Name']} {twin.version}" for twin in twins
                ),
                overwritten=tuple(overwritten_files(owner)) if owner else (),
                version=owner.version if owner else "",
            )
        )
    return found


def _find(name: str, path: Sequence[str] | None) -> Distribution | None:
    where = list(sys.path if path is None else path)
    return next(iter(importlib.metadata.distributions(name=name, path=where)), None)
