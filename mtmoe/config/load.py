"""Loads gin files: found, read, checked as a whole, and then bound.

    load_config(["runs/quickstart.gin"], ["train.steps=100"])

A gin file may import modules, and a reference may name any registered callable: a gin
file is code. Use those you trust.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import gin

from mtmoe.config import check
from mtmoe.config.registry import find, import_rooms
from mtmoe.config.statements import (
    Binding,
    Import,
    Macro,
    Reference,
    Statement,
    find_file,
    read_file,
    read_parameter,
    read_text,
)
from mtmoe.errors import ConfigError, UnknownNameError

CONFIG_NAME = "config.gin"


@dataclasses.dataclass(frozen=True)
class Config:
    """A config that has been checked and is in force.

    Attributes:
      text: all of it, flat, as one gin file that loads to the same config.
      bindings: "scope/configurable.parameter" -> value as text, macros resolved.
      places: the same keys -> "file:line" of the statement in force.
    """

    text: str
    bindings: Mapping[str, str]
    places: Mapping[str, str]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the bindings; the order and layout of files do not matter."""
        content = json.dumps(dict(self.bindings), sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()


def gin_directory() -> Path:
    """Returns the folder of gin files that comes with mtmoe.

    Raises:
      ConfigError: this installation has none.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "gin", package.parent / "gin"):
        if folder.is_dir():
            return folder
    raise ConfigError(f"no gin files beside {package}; install mtmoe again")


def load_config(
    gin_files: Sequence[str] = (),
    gin_params: Sequence[str] = (),
    model_dir: Path | str | None = None,
    roots: Iterable[str] = (),
) -> Config:
    """Replaces gin's config by that of the files and parameters given.

    Args:
      gin_files: looked up in the current folder, then in `gin_directory()`, as are the
        files they include.
      gin_params: single statements, after the files; they win.
      model_dir: a model folder whose `config.gin` comes before the files.
      roots: configurables the command calls itself, which must be complete.

    Raises:
      ConfigError: anything is wrong with any statement; the message lists every mistake
        with its file, line and the nearest right name. Gin's config is then as before.
    """
    directories = [Path.cwd(), gin_directory()]
    statements: list[Statement] = []
    if model_dir is not None:
        statements.extend(read_file(_config_file(Path(model_dir)), directories))
    for name in gin_files:
        statements.extend(read_file(find_file(name, directories), directories))
    for parameter in gin_params:
        statements.extend(read_parameter(parameter))

    import_rooms()
    imports = [s for s in statements if isinstance(s, Import)]
    for statement in imports:
        _import(statement)
    bindings = [s for s in statements if isinstance(s, Binding)]
    if found := check.problems(bindings, roots):
        raise ConfigError("\n".join(found))
    _bind(bindings)
    lines = sorted({f"import {statement.module}\n" for statement in imports})
    text = "".join(lines) + ("\n" if lines else "") + gin.config_str()
    places = {_key(b): b.where for b in bindings if not b.is_macro}
    return Config(text, resolved_bindings(text, "config"), places)


def resolved_bindings(text: str, origin: str) -> dict[str, str]:
    """Returns what a flat config binds, macros replaced by their values.

    Args:
      text: a config as `Config.text` has it.
      origin: the file it is from, for errors.
    """
    bindings = [s for s in read_text(text, origin) if isinstance(s, Binding)]
    macros = {b.macro_name: b.value for b in bindings if b.is_macro}
    resolved = {}
    for binding in bindings:
        if binding.is_macro:
            continue
        resolved[_key(binding)] = repr(check.resolve(binding.value, macros))
    return resolved


def _key(binding: Binding) -> str:
    try:
        selector = find(binding.selector).selector
    except UnknownNameError:  # of another version: still a difference to report
        selector = binding.selector
    scope = f"{binding.scope}/" if binding.scope else ""
    return f"{scope}{selector}.{binding.parameter}"


def _config_file(model_dir: Path) -> Path:
    path = model_dir / CONFIG_NAME
    if not path.is_file():
        raise ConfigError(
            f"{model_dir} is not a model folder: it has no {CONFIG_NAME}. "
            f"Train one: mtmoe train --gin_file=... --model_dir={model_dir}"
        )
    return path


def _import(statement: Import) -> None:
    """Imports a user's module; those in the current folder are found too."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        importlib.import_module(statement.module)
    except ImportError as error:
        raise ConfigError(
            f"{statement.where}: import {statement.module}: {error}"
        ) from error


def _bind(bindings: Iterable[Binding]) -> None:
    gin.clear_config()
    for binding in bindings:
        key = (binding.scope, binding.selector, binding.parameter)
        if binding.is_macro:
            key = (binding.macro_name, "gin.macro", "value")
        gin.bind_parameter(key, _to_gin(binding.value))
    # Not finalized, which would lock gin: t5 registers configurables when first used.


def _to_gin(value: Any) -> Any:
    """Turns our references into gin's."""
    if isinstance(value, Reference):
        return gin.config.ConfigurableReference(value.name, value.evaluate)
    if isinstance(value, Macro):
        return gin.config.ParserDelegate().macro(value.name)
    if isinstance(value, list | tuple):
        return type(value)(_to_gin(item) for item in value)
    if isinstance(value, dict):
        return {_to_gin(key): _to_gin(item) for key, item in value.items()}
    return value
