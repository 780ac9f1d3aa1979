"""Which code a function rests on: packages by version, everything else by its text.

* A module of an installed package is named by the package's version.
* Any other module is named by the text of its file, and of the modules it imports,
  wherever in the file, that are of no installed package; of packages it imports, the
  version counts too (TensorFlow, NumPy, gin and absl apart: they are under everything).
* mtmoe's own modules are named by their text alone, whether installed or in a checkout;
  task modules (`mtmoe.tasks`) with the task modules and packages they import. What lies
  below them has one number, `DATA_PATH_VERSION` of `fingerprint`.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.metadata
import importlib.util
import os
import site
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

_OWN, _OWN_TASKS = "mtmoe", "mtmoe.tasks"
_UNDER_EVERYTHING = frozenset({"absl", "gin", "numpy", "tensorflow"})


class CodeFacts(NamedTuple):
    """The code of some modules.

    Attributes:
      named: module -> SHA-256 of its text, or package -> version, in words.
      own_modules: modules named by their text.
      packages: top-level packages among them, or imported by them.
    """

    named: dict[str, str]
    own_modules: frozenset[str]
    packages: frozenset[str]


class _Place(NamedTuple):
    """Where a module comes from; all empty for the standard library.

    Attributes:
      package: its top-level package, if that is installed.
      version: that package's version.
      file: its file, if it is named by its text.
    """

    package: str = ""
    version: str = ""
    file: str = ""


class _Text(NamedTuple):
    sha256: str
    imports: tuple[str, ...]


def code_facts(modules: Iterable[str]) -> CodeFacts:
    """Names the code of modules and of what they import.

    Args:
      modules: dotted names of modules that are imported.
    """
    named: dict[str, str] = {}
    packages: set[str] = set()
    own: set[str] = set()
    ahead = list(modules)
    while ahead:
        name = ahead.pop()
        if name in own:
            continue
        place = _place(name)
        if place.package in _UNDER_EVERYTHING:
            continue
        if place.package:
            packages.add(place.package)
            named[place.package] = f"version {place.version}"
        if not place.file:
            continue
        own.add(name)
        text = _text(name, place.file)
        named[name] = f"sha256 {text.sha256}"
        if not _is_data_path(name):
            ahead += [module for module in text.imports if not _is_data_path(module)]
    return CodeFacts(named, frozenset(own), frozenset(packages))


def has_source(module: str) -> bool:
    """Whether the code of a module can be named: it is in a file, or in a package."""
    if _is_standard(module):
        return True
    place = _place(module)
    return bool(place.package or place.file)


def _is_data_path(module: str) -> bool:
    """Whether a module is mtmoe's, but none of tasks."""
    return _is_within(module, _OWN) and not _is_within(module, _OWN_TASKS)


def _is_within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def _is_standard(module: str) -> bool:
    top = module.partition(".")[0]
    return top in sys.stdlib_module_names and top != "__main__"


@functools.cache
def _place(module: str) -> _Place:
    if _is_standard(module):
        return _Place()
    top = module.partition(".")[0]
    if top != module and _place(top).package:
        return _place(top)  # and its modules need not be imported to be found
    file = _file(module)
    if file is None:
        return _Place()
    if top != _OWN and file.startswith(_site_folders()):
        version = _version(top)
        if version is not None:
            return _Place(package=top, version=version)
    return _Place(file=file)


def _file(module: str) -> str | None:
    loaded = sys.modules.get(module)
    path = getattr(loaded, "__file__", None)
    if loaded is None:
        try:
            spec = importlib.util.find_spec(module)
        except (ImportError, ValueError, AttributeError, TypeError):
            return None  # `from package import name`: a name that is no module
        path = spec.origin if spec and spec.has_location else None
    return os.path.realpath(path) if path and os.path.isfile(path) else None


@functools.cache
def _site_folders() -> tuple[str, ...]:
    folders = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    folders += [*site.getsitepackages(), site.getusersitepackages()]
    return tuple({os.path.realpath(folder) + os.sep for folder in folders})


def _version(package: str) -> str | None:
    """Returns the version of the distribution that a top-level package is of."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        pass
    distributions = _distributions().get(package)
    if not distributions:
        return None
    return " ".join(
        f"{name} {importlib.metadata.version(name)}" for name in sorted(distributions)
    )


@functools.cache
def _distributions() -> dict[str, set[str]]:
    found = importlib.metadata.packages_distributions()
    return {package: set(names) for package, names in found.items()}


def _text(module: str, file: str) -> _Text:
    state = os.stat(file)
    return _read_text(module, file, state.st_mtime_ns, state.st_size)


@functools.lru_cache(maxsize=4096)
def _read_text(module: str, file: str, mtime_ns: int, size: int) -> _Text:
    content = Path(file).read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if not file.endswith(".py"):
        return _Text(digest, ())
    is_package = os.path.basename(file) == "__init__.py"
    package = module if is_package else module.rpartition(".")[0]
    names: set[str] = set()
    for node in ast.walk(ast.parse(content)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names.update(_with_parents(alias.name))
        elif isinstance(node, ast.ImportFrom):
            origin = _origin(node, package)
            names.update(_with_parents(origin))
            names.update(f"{origin}.{alias.name}" for alias in node.names)
    return _Text(digest, tuple(sorted(names - {module})))


def _origin(node: ast.ImportFrom, package: str) -> str:
    """Returns the absolute name of what `from X import ...` imports from."""
    if not node.level:
        return node.module or ""
    parents = package.split(".")[: len(package.split(".")) - node.level + 1]
    return ".".join([*parents, node.module] if node.module else parents)


def _with_parents(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[: end + 1]) for end in range(len(parts)) if parts[0]]
