"""Loads gin files: finds, reads, checks and binds them.

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
import traceback
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import gin

from mtmoe.config import check, total_steps
from mtmoe.config.in_force import InForce, Key, key_of, mapped, resolve
from mtmoe.config.registry import import_rooms
from mtmoe.config.retired import without_retired
from mtmoe.config.statements import (
    Binding,
    Import,
    Macro,
    Reference,
    StatementReader,
    read_text,
)
from mtmoe.errors import ConfigError

CONFIG_NAME = "config.gin"


@dataclasses.dataclass(frozen=True)
class Config:
    """A config in force.

    Attributes:
      text: all of it, flat, as one gin file that loads to the same config.
      bindings: "scope/configurable.parameter" -> value as text, macros resolved.
      imports: modules that were imported for it.
      statements: all statements it is made of, overridden ones too, in order.
    """

    text: str
    bindings: Mapping[str, str]
    imports: tuple[str, ...]
    statements: tuple[Binding, ...]

    def without(self, keys: Iterable[Key]) -> Config:
        """Returns the config without these bindings; gin's own stays as it is."""
        left_out = set(keys)
        names = set(map(str, left_out))
        kept = [
            binding
            for binding in self.statements
            if binding.is_macro or key_of(binding) not in left_out
        ]
        return dataclasses.replace(
            self,
            text=_text(self.imports, InForce(kept)),
            bindings={k: v for k, v in self.bindings.items() if k not in names},
        )

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
    raise ConfigError(f"no gin files next to {package}; install mtmoe again")


def load_config(
    gin_files: Sequence[str] = (),
    gin_params: Sequence[str] = (),
    model_dir: Path | str | None = None,
    roots: Iterable[str] = (),
) -> Config:
    """Replaces gin's config by that of these files and parameters.

    Args:
      gin_files: looked up in the current folder, then in `gin_directory()`, as are the
        files they include.
      gin_params: single statements, which override the files.
      model_dir: a model folder whose `config.gin` comes before the files, without
        parameters retired since it was written.
      roots: configurables the command calls itself, which must be complete.

    Raises:
      ConfigError: anything is wrong with any statement; the message lists every mistake
        with its file, line and the nearest right name. Gin's config is then as before.
    """
    draft = read_config(gin_files, gin_params, model_dir, roots)
    if draft.problems.messages:
        raise ConfigError("\n".join(draft.problems.messages))
    return draft.bind()


@dataclasses.dataclass(frozen=True)
class Draft:
    """A config that was read and checked, but not bound yet.

    Attributes:
      imports: modules that were imported for it.
      statements: its statements in order.
      problems: the mistakes in them.
      is_whole: whether all files could be read and all modules imported.
    """

    imports: tuple[str, ...]
    statements: tuple[Binding, ...]
    problems: check.Problems
    is_whole: bool

    def bind(self) -> Config:
        """Replaces gin's config by this one, but for the statements with mistakes."""
        faulty = self.problems.faulty
        sound = tuple(b for b in self.statements if b not in faulty)
        force = InForce(sound)
        gin.clear_config()
        for binding in [*force.macros.values(), *force.bindings.values()]:
            key = (binding.scope, binding.selector, binding.parameter)
            if binding.is_macro:
                key = (binding.macro_name, "gin.macro", "value")
            gin.bind_parameter(key, _to_gin(binding.value))
        # Not finalized, which would lock gin: t5 registers configurables when first
        # used.
        text = _text(self.imports, force)
        return Config(text, resolved_bindings(text, "config"), self.imports, sound)


def read_config(
    gin_files: Sequence[str] = (),
    gin_params: Sequence[str] = (),
    model_dir: Path | str | None = None,
    roots: Iterable[str] = (),
) -> Draft:
    """Reads and checks a config, as `load_config` does, and binds nothing.

    Raises:
      ConfigError: `model_dir` is no model folder, or mtmoe's own gin files are missing.
    """
    reader = StatementReader([Path.cwd(), gin_directory()])
    if model_dir is not None:
        reader.read_file(str(_config_file(Path(model_dir))), own=False)
    of_folder = len(reader.statements)
    for name in gin_files:
        reader.read_file(name)
    for parameter in gin_params:
        reader.read_parameter(parameter)
    import_rooms()
    imports: dict[str, None] = {}
    unreadable = list(reader.problems)
    for statement in reader.statements:
        if isinstance(statement, Import) and statement.module not in imports:
            imports[statement.module] = None
            unreadable += _import(statement)
    statements = without_retired(reader.statements[:of_folder])
    statements += reader.statements[of_folder:]
    bindings = [s for s in statements if isinstance(s, Binding)]
    bindings += total_steps.following(bindings)
    if unreadable:  # only a whole config shows what is missing or unused
        found = check.statement_problems(bindings)
        found.messages[:0] = unreadable
    else:
        found = check.problems(bindings, roots)
    return Draft(tuple(sorted(imports)), tuple(bindings), found, not unreadable)


def resolved_bindings(text: str, origin: str) -> dict[str, str]:
    """Returns what a flat config binds, macros replaced by their values.

    Parameters retired since it was written are left out; `origin` is for errors.
    """
    statements = without_retired(read_text(text, origin))
    bindings = [s for s in statements if isinstance(s, Binding)]
    macros = {b.macro_name: b.value for b in bindings if b.is_macro}
    return {
        str(key_of(binding)): repr(resolve(binding.value, macros))
        for binding in bindings
        if not binding.is_macro
    }


def _config_file(model_dir: Path) -> Path:
    path = model_dir / CONFIG_NAME
    if not path.is_file():
        raise ConfigError(
            f"{model_dir} is not a model folder: it has no {CONFIG_NAME}. "
            f"Train one: mtmoe train --gin_file=... --model_dir={model_dir}"
        )
    return path


def _import(statement: Import) -> list[str]:
    """Imports a module, also one in the current folder; returns the mistakes."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        importlib.import_module(statement.module)
    except Exception as error:  # whatever the user's module raises
        kind = "" if isinstance(error, ImportError) else f"{type(error).__name__}: "
        last = traceback.extract_tb(error.__traceback__)[-1]
        inside = f", {os.path.relpath(last.filename)}:{last.lineno}"
        if "importlib" in last.filename:
            inside = ""
        what = f"import {statement.module}: {kind}{error}"
        return [f"{statement.where}: {what}{inside}"]
    return []


def _text(imports: Iterable[str], force: InForce) -> str:
    """Returns a config as one flat gin file, in gin's own layout."""
    lines = [f"import {module}\n" for module in imports]
    configuration: dict[tuple[str, str], dict[str, Any]] = {}
    for name, binding in force.macros_in_use().items():
        configuration[name, "gin.macro"] = {"value": _to_gin(binding.value)}
    for key, binding in force.bindings.items():
        full = gin.config._REGISTRY.get_match(key.selector).selector
        values = configuration.setdefault((key.scope, full), {})
        values[key.parameter] = _to_gin(binding.value)
    text = gin.config._config_str(configuration, max_line_length=80)
    return "".join(lines) + ("\n" if lines else "") + text


def _to_gin(value: Any) -> Any:
    """Turns our references into gin's."""

    def turned(item: Any) -> Any:
        if isinstance(item, Reference):
            return gin.config.ConfigurableReference(item.name, item.evaluate)
        if isinstance(item, Macro):
            return gin.config.ParserDelegate().macro(item.name)
        return item

    return mapped(turned, value)
