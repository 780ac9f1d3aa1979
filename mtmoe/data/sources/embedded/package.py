"""What every package of the embedded corpus has in common."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from mtmoe.errors import CorpusError


class Passage(NamedTuple):
    """A piece of text as a package has it.

    Attributes:
      key: names the content, the same in every language; the split hashes it.
      text: one or more lines, not cleaned yet.
      group: consecutive passages of one group are joined into documents.
      is_prose: whether the text is running prose and not a list of short strings.
    """

    key: str
    text: str
    group: str
    is_prose: bool = False


class Installation(NamedTuple):
    """Where a package lies on this machine.

    Attributes:
      root: folder of the package.
      version: its version as its metadata gives it.
    """

    root: Path
    version: str


@dataclass(frozen=True)
class SourcePackage:
    """A package that carries text in many languages.

    Attributes:
      name: name in its registry.
      mend: the command that installs it.
      is_optional: whether the corpus goes on without it.
      locate: finds the installation, or None.
      files: the files that hold a language (mC4 code), in reading order.
      read: turns those files into passages, in a fixed order.
    """

    name: str
    mend: str
    is_optional: bool
    locate: Callable[[], Installation | None]
    files: Callable[[Path, str], tuple[Path, ...]]
    read: Callable[[Path, str], Iterator[Passage]]

    def digest(self, root: Path, codes: Iterable[str]) -> str:
        """Returns the SHA-256 over names and bytes of every file the codes need."""
        paths = {path for code in codes for path in self.files(root, code)}
        digest = hashlib.sha256()
        for path in sorted(paths):
            content = hashlib.sha256(self.content(path)).hexdigest()
            digest.update(f"{path.relative_to(root).as_posix()} {content}\n".encode())
        return digest.hexdigest()

    def content(self, path: Path) -> bytes:
        """Returns a file's bytes.

        Raises:
          CorpusError: it cannot be read.
        """
        try:
            return path.read_bytes()
        except OSError as error:
            raise self.damaged(path, error) from error

    def passages(self, root: Path, code: str) -> list[Passage]:
        """Reads the passages of one language.

        Raises:
          CorpusError: a file is not what the package should hold.
        """
        try:
            return list(self.read(root, code))
        except (OSError, ValueError, LookupError, TypeError, EOFError) as error:
            raise self.damaged(root, error, code) from error

    def damaged(self, path: Path, error: Exception, code: str = "") -> CorpusError:
        """Returns the error that says what is wrong with the package and its cure."""
        reading = f" reading {code!r}" if code else ""
        return CorpusError(
            f"package {self.name} is damaged ({path}{reading}: {error}); "
            f"install it again: {self.mend}"
        )


def locate_python_package(distribution: str, module: str) -> Installation | None:
    """Finds an installed Python package without importing it.

    Args:
      distribution: its name on the package index.
      module: the name of its import package.
    """
    try:
        version = importlib.metadata.version(distribution)
        spec = importlib.util.find_spec(module)
    except (importlib.metadata.PackageNotFoundError, ImportError):
        return None
    if spec is None or not spec.submodule_search_locations:
        return None
    return Installation(Path(next(iter(spec.submodule_search_locations))), version)
