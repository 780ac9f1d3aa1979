"""Where the packages that supervised rows are read from are installed."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from mtmoe.data.sources.embedded.package import SourcePackage, locate_python_package
from mtmoe.errors import CorpusError


def corpus_package_root(package: SourcePackage) -> Path:
    """Returns the folder of one of the embedded corpus's packages.

    Raises:
      CorpusError: it is not installed.
    """
    installation = package.locate()
    if installation is None:
        raise _missing(package.name, package.mend)
    return installation.root


@cache
def python_package_root(distribution: str, module: str) -> Path:
    """Returns the folder of an installed Python package, without importing it.

    A distribution is known to the package index, a module is what is imported.

    Raises:
      CorpusError: it is not installed.
    """
    installation = locate_python_package(distribution, module)
    if installation is None:
        raise _missing(distribution, f"pip install {distribution}")
    return installation.root


def _missing(name: str, mend: str) -> CorpusError:
    return CorpusError(f"package {name} is not installed; install it: {mend}")
