"""The packages besides jaxlib that JAX needs for TPUs and GPUs, and their versions.

Which versions fit is read from the metadata of the installed jax. Imports no JAX.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from mtmoe.errors import HardwareError

_EXTRAS = {
    "libtpu": "tpu",
    "jax-cuda12-plugin": "cuda12",
    "jax-cuda13-plugin": "cuda13",
}


@dataclass(frozen=True)
class Plugin:
    """A package that brings devices to JAX.

    Attributes:
      version: the installed one; empty if there is none.
      wanted: versions that go with the installed jax; empty if jax names none.
      install: the command that installs the right one.
    """

    name: str
    version: str
    wanted: str
    install: str

    @property
    def fits(self) -> bool:
        """Whether the installed version is one of those that jax wants."""
        if not (self.version and self.wanted):
            return False
        return SpecifierSet(self.wanted).contains(self.version, prereleases=True)


def plugins() -> dict[str, Plugin]:
    """Returns libtpu and the CUDA plugins by name, installed or not."""
    return {name: _plugin(name, extra) for name, extra in _EXTRAS.items()}


def _plugin(name: str, extra: str) -> Plugin:
    jax = _version("jax")
    wanted = {str(requirement.specifier) for requirement in _wanted(name, extra)}
    return Plugin(
        name=name,
        version=_version(name),
        wanted=min(wanted, default=""),
        install=f"pip install 'jax[{extra}]=={jax}'",
    )


def _wanted(name: str, extra: str) -> Iterator[Requirement]:
    try:
        requirements = importlib.metadata.requires("jax") or []
    except importlib.metadata.PackageNotFoundError:
        return
    for requirement in map(Requirement, requirements):
        marker = requirement.marker
        if requirement.name == name and marker and marker.evaluate({"extra": extra}):
            yield requirement


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def libtpu_path() -> Path:
    """Returns the library that compiles for TPUs: $TPU_LIBRARY_PATH, or libtpu's own.

    Raises:
      HardwareError: there is none.
    """
    named = os.environ.get("TPU_LIBRARY_PATH")
    if named:
        if not Path(named).is_file():
            raise HardwareError(
                f"TPU_LIBRARY_PATH is {named!r}, and there is no such file; it must be "
                "the path of a libtpu.so, or not be set"
            )
        return Path(named)
    spec = importlib.util.find_spec("libtpu")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (Path(folder) / "libtpu.so").is_file():
            return Path(folder) / "libtpu.so"
    wanted = plugins()["libtpu"].wanted
    raise HardwareError(
        "to compile for a TPU, libtpu is needed, and it is not installed; run: "
        f"pip install 'libtpu{wanted}' (693 MB), or set TPU_LIBRARY_PATH to a libtpu.so"
    )
