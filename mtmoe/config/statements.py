"""Gin files as plain statements, before anything is bound.

Gin's own loader stops at the first mistake and does not say what would have been right.
So the statements are read here with gin's parser, kept with the place they come from,
checked as a whole (`check.py`), and only then bound (`load.py`).
"""

from __future__ import annotations

import dataclasses
import tokenize
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from gin import config_parser

from mtmoe.errors import ConfigError, nearest_names


@dataclasses.dataclass(frozen=True)
class Reference:
    """`@scope/name` or, evaluated, `@scope/name()`."""

    name: str
    evaluate: bool

    def __repr__(self) -> str:
        """Returns the reference as gin writes it."""
        return f"@{self.name}" + "()" * self.evaluate


@dataclasses.dataclass(frozen=True)
class Macro:
    """`%NAME`."""

    name: str

    def __repr__(self) -> str:
        """Returns the macro as gin writes it."""
        return f"%{self.name}"


@dataclasses.dataclass(frozen=True)
class Binding:
    """One assignment.

    Attributes:
      scope: "encoder" of `encoder/Layer.size`, often empty.
      selector: the configurable's name as written, or a macro's name.
      parameter: the parameter's name; empty if a macro is defined.
      value: a Python literal, with `Reference` and `Macro` inside.
      where: "file:line", or the flag it came from.
    """

    scope: str
    selector: str
    parameter: str
    value: Any
    where: str

    @property
    def is_macro(self) -> bool:
        """Whether it defines a macro."""
        return not self.parameter

    @property
    def macro_name(self) -> str:
        """The name by which `%` finds the macro it defines."""
        return f"{self.scope}/{self.selector}" if self.scope else self.selector


@dataclasses.dataclass(frozen=True)
class Import:
    """A module that a gin file imports for what it registers."""

    module: str
    where: str


Statement = Binding | Import


class _Delegate(config_parser.ParserDelegate):  # type: ignore[misc]
    def configurable_reference(self, scoped_configurable_name, evaluate):  # type: ignore
        return Reference(scoped_configurable_name, evaluate)

    def macro(self, macro_name):  # type: ignore[no-untyped-def]
        return Macro(macro_name)


def find_file(name: str, directories: Sequence[Path], where: str = "") -> Path:
    """Finds a gin file.

    Args:
      name: a path, absolute or relative to one of `directories`.
      directories: where to look, in order.
      where: the place that names it, for the error.

    Raises:
      ConfigError: it is in none of them; the message has the nearest files.
    """
    for directory in directories:
        if (directory / name).is_file():
            return directory / name
    known = [
        str(path.relative_to(directory))
        for directory in directories[1:]
        for path in directory.rglob("*.gin")
    ]
    message = f"gin file {name!r} not found" + (f" ({where})" if where else "")
    message += "; looked in " + ", ".join(str(path) for path in directories)
    if nearest := nearest_names(name, known):
        message += "; did you mean " + " or ".join(nearest) + "?"
    raise ConfigError(message)


def read_file(
    path: Path, directories: Sequence[Path], including: tuple[Path, ...] = ()
) -> Iterator[Statement]:
    """Yields the statements of a file and, in their place, of the files it includes.

    Raises:
      ConfigError: a syntax error with file and line, a file that is missing, not UTF-8,
        or that includes itself.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    here = (*including, path.resolve())
    for statement in _parse(text, str(path)):
        if not isinstance(statement, config_parser.IncludeStatement):
            yield from _plain(statement, str(path))
            continue
        where = f"{path}:{statement.location.line_num}"
        included = find_file(statement.filename, directories, where)
        if included.resolve() in here:
            raise ConfigError(f"{where}: {included} includes itself")
        yield from read_file(included, directories, here)


def read_text(text: str, origin: str) -> list[Statement]:
    """Returns the statements of a text that includes no files.

    Raises:
      ConfigError: it does not parse; the message has `origin` and the line.
    """
    statements: list[Statement] = []
    for statement in _parse(text, origin):
        statements.extend(_plain(statement, origin))
    return statements


def read_parameter(text: str) -> list[Statement]:
    """Returns the statements of one `--gin_param`, e.g. `train.steps=100`.

    Raises:
      ConfigError: it does not parse.
    """
    origin = f"--gin_param={text}"
    return [
        dataclasses.replace(statement, where=origin)
        for statement in read_text(text, origin)
    ]


def _parse(text: str, origin: str) -> Iterator[Any]:
    try:
        yield from config_parser.ConfigParser(text, _Delegate())
    except (SyntaxError, tokenize.TokenError, ValueError) as error:
        raise ConfigError(_explain(error, text, origin)) from error


def _plain(statement: Any, origin: str) -> Iterator[Statement]:
    where = f"{origin}:{statement.location.line_num}"
    if isinstance(statement, config_parser.BindingStatement):
        yield Binding(
            statement.scope,
            statement.selector,
            statement.arg_name,
            statement.value,
            where,
        )
    elif isinstance(statement, config_parser.ImportStatement):
        yield Import(statement.module, where)
    elif isinstance(statement, config_parser.IncludeStatement):
        raise ConfigError(f"{where}: include is allowed in files only")


def _explain(error: Exception, text: str, origin: str) -> str:
    """Says what is wrong in the user's terms, with the line it is in."""
    line_number, reason = 1, str(error)
    if isinstance(error, SyntaxError):
        line_number, reason = error.lineno or 1, error.msg
    elif isinstance(error, tokenize.TokenError):
        reason, (line_number, _) = error.args
    lines = text.splitlines()
    line = lines[min(line_number, len(lines)) - 1].strip() if lines else ""
    if "malformed node" in reason or "Failed to parse token" in reason:
        reason = "the value is not a Python literal; text needs quotes"
    place = origin if origin.startswith("--") else f"{origin}:{line_number}"
    return f"{place}: {reason.splitlines()[0]}\n    {line}"
