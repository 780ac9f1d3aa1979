"""Which files and versions the code of this process comes from."""

from __future__ import annotations

import hashlib
import os
import sys
import sysconfig
import time
import types
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import mtmoe

_PACKAGE = Path(mtmoe.__file__).resolve().parent
_IMPORTED = time.time()
# Uncertainty of the start of a process, in seconds.
_CLOCK = 0.05
# TensorFlow writes these in each process, from functions of other modules.
_GENERATED = "__autograph_generated_file"


class ChangedSourceError(Exception):
    """A file has changed since this process read it, or is missing."""


def digest() -> str:
    """Returns a digest of all code that this process may run.

    It covers every file of this package; every file outside the installed packages that
    a module was loaded from; name, version and time of installation of every installed
    package; and the version of Python.

    Raises:
      ChangedSourceError: a file was written after this process began, which may be
        running what was in it before; or the main module has no file.
    """
    begun = _process_start()
    content = hashlib.sha256(repr((sys.version, _installed())).encode())
    for path in _files():
        try:
            if path.stat().st_mtime > begun + _CLOCK:
                raise ChangedSourceError(f"{path} is younger than this process")
            content.update(hashlib.sha256(path.read_bytes()).digest())
        except OSError as error:
            raise ChangedSourceError(f"cannot read {path}: {error}") from error
    return content.hexdigest()


def is_product(value: Any) -> bool:
    """Whether a class, function or module is of this package."""
    return _module_name(value).partition(".")[0] == mtmoe.__name__


def is_installed(value: Any) -> bool:
    """Whether a class, function or module is Python's or of an installed package."""
    name = _module_name(value)
    if is_product(value) or name == "__main__":
        return False
    file = getattr(sys.modules.get(name), "__file__", None)
    return _comes_installed(name, file or "")


def _module_name(value: Any) -> str:
    is_module = isinstance(value, types.ModuleType)
    return (value.__name__ if is_module else value.__module__) or ""


@cache
def _is_library(path: str) -> bool:
    parts = Path(path).parts
    if "site-packages" in parts or "dist-packages" in parts:
        return True
    standard = {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}
    return any(path.startswith(os.path.join(folder, "")) for folder in standard)


def _files() -> list[Path]:
    """This package's files, and those of loaded modules that no package installed."""
    main = sys.modules.get("__main__")
    if getattr(main, "__file__", None) is None:
        raise ChangedSourceError("the main module has no file")
    files = set(_PACKAGE.rglob("*.py"))
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if not isinstance(file, str) or name.startswith(_GENERATED):
            continue
        if not _comes_installed(name, file):
            files.add(Path(file).resolve())
    return sorted(files)


def _comes_installed(name: str, file: str) -> bool:
    """Whether a module of this name and file is Python's or an installed package's.

    Some packages make modules whose file is a bare name, which no import gives:
    torch.classes says `_classes.py`. These count as their package does.
    """
    package = name.partition(".")[0]
    if package in sys.stdlib_module_names:
        return True
    package_file = getattr(sys.modules.get(package), "__file__", None)
    places = [file, package_file] if isinstance(package_file, str) else [file]
    return any(os.path.isabs(place) and _is_library(place) for place in places)


@cache
def _installed() -> tuple[tuple[str, int], ...]:
    """Name and version of the installed packages, and when they were installed."""
    return tuple(sorted(_information()))


def _information() -> Iterator[tuple[str, int]]:
    for folder in dict.fromkeys(sys.path):
        try:
            entries = list(os.scandir(folder or "."))
        except OSError:
            continue
        for entry in entries:
            if entry.name.endswith((".dist-info", ".egg-info")):
                yield entry.name, entry.stat().st_mtime_ns


@cache
def _process_start() -> float:
    """When this process began, seconds since the epoch; late rather than early."""
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        uptime = float(Path("/proc/uptime").read_text().split()[0])
        age = uptime - int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return min(time.time() - age, _IMPORTED)
    except (OSError, ValueError, IndexError):
        return _IMPORTED
