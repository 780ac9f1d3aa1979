"""Gin files as plain statements, before anything is bound.

Gin's own loader stops at the first mistake and suggests no correction. So gin's parser
reads the statements here, each keeps its place in the files, `check.py` checks them
together, and only then `load.py` binds them.
"""

from __future__ import annotations

import dataclasses
import tokenize
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from gin import config_parser

from mtmoe import moved
from mtmoe.errors import ConfigError, did_you_mean


@dataclasses.dataclass(frozen=True)
class Reference:
    """`@scope/name` or, evaluated, `@scope/name()`."""

    name: str
    evaluate: bool

    @property
    def scope(self) -> tuple[str, ...]:
        """The scope's parts, outermost first."""
        return tuple(self.name.split("/")[:-1])

    @property
    def selector(self) -> str:
        """The configurable's name, without the scope."""
        return self.name.rpartition("/")[2]

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
      file: the file it stands in; empty if it came by a flag.
      included_by: places of the `include` statements that led to the file, outermost
        first.
      own: whether the user wrote it for this run: by a flag, or in a file that a flag
        names and that does not come with mtmoe.
    """

    scope: str
    selector: str
    parameter: str
    value: Any
    where: str
    file: str = ""
    included_by: tuple[str, ...] = ()
    own: bool = True

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
    """A module that a gin file imports for what it registers.

    Attributes:
      module: its name today: a model folder's config may be of an earlier release.
      where: "file:line".
    """

    module: str
    where: str


Statement = Binding | Import


class StatementReader:
    """Reads files and parameters in order; keeps the statements and the mistakes."""

    def __init__(self, directories: Sequence[Path]):
        """Takes the folders to search for files, mtmoe's own last."""
        self.statements: list[Statement] = []
        self.problems: list[str] = []
        self._directories = directories

    def read_file(self, name: str, own: bool | None = None) -> None:
        """Reads a file and, in their places, those it includes.

        Args:
          name: a path, absolute or relative to one of the folders.
          own: whether its statements are the user's; None: unless the file is mtmoe's.
        """
        self._read(name, own, (), ())

    def read_parameter(self, text: str) -> None:
        """Reads one `--gin_param`, e.g. `train.steps=100`."""
        origin = f"--gin_param={text}"
        try:
            statements = read_text(text, origin)
        except ConfigError as error:
            self.problems.append(str(error))
            return
        for statement in statements:
            self.statements.append(dataclasses.replace(statement, where=origin))

    def _read(
        self,
        name: str,
        own: bool | None,
        included_by: tuple[str, ...],
        including: tuple[Path, ...],
    ) -> None:
        where = included_by[-1] if included_by else ""
        try:
            path = find_file(name, self._directories, where)
            if path.resolve() in including:
                raise ConfigError(f"{where}: {name} includes itself")
            text = path.read_text(encoding="utf-8")
        except ConfigError as error:
            self.problems.append(str(error))
            return
        except (OSError, UnicodeDecodeError) as error:
            place = f" ({where})" if where else ""
            self.problems.append(f"{name} cannot be read: {error}{place}")
            return
        if own is None:
            own = not path.resolve().is_relative_to(self._directories[-1].resolve())
        try:
            for statement in _parse(text, name):
                if isinstance(statement, config_parser.IncludeStatement):
                    place = f"{name}:{statement.location.line_num}"
                    self._read(
                        statement.filename,
                        False,
                        (*included_by, place),
                        (*including, path.resolve()),
                    )
                    continue
                for plain in _plain(statement, name):
                    if isinstance(plain, Binding):
                        plain = dataclasses.replace(
                            plain, file=name, included_by=included_by, own=own
                        )
                    self.statements.append(plain)
        except ConfigError as error:
            self.problems.append(str(error))


class _Delegate(config_parser.ParserDelegate):  # type: ignore[misc]
    def configurable_reference(self, scoped_configurable_name, evaluate):  # type: ignore
        return Reference(scoped_configurable_name, evaluate)

    def macro(self, macro_name):  # type: ignore[no-untyped-def]
        return Macro(macro_name)


def find_file(name: str, directories: Sequence[Path], where: str = "") -> Path:
    """Finds a gin file in the first of the folders that has it.

    Raises:
      ConfigError: none has it; the message has the nearest files and `where`, the
        place that names the file.
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
    raise ConfigError(message + did_you_mean(name, known))


def read_text(text: str, origin: str) -> list[Statement]:
    """Returns the statements of a text that includes no files.

    Raises:
      ConfigError: it does not parse; the message has `origin` and the line.
    """
    statements: list[Statement] = []
    for statement in _parse(text, origin):
        statements.extend(_plain(statement, origin))
    return statements


def _parse(text: str, origin: str) -> Iterator[Any]:
    parser = config_parser.ConfigParser(text, _Delegate())
    try:
        yield from parser
    except (
        SyntaxError,
        tokenize.TokenError,
        ValueError,
        TypeError,  # a list as the key of a dict
        RecursionError,
        MemoryError,
    ) as error:
        token = parser._current_token
        line = token.start[0] if token is not None else 1
        raise ConfigError(_explain(error, line, text, origin)) from error


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
        yield Import(moved.new_name(statement.module), where)
    elif isinstance(statement, config_parser.IncludeStatement):
        raise ConfigError(f"{where}: include is allowed in files only")


def _explain(error: Exception, line_number: int, text: str, origin: str) -> str:
    """Says what is wrong in the user's terms, with the line it is in."""
    reason = str(error)
    if isinstance(error, SyntaxError):
        line_number, reason = error.lineno or 1, error.msg
    elif isinstance(error, tokenize.TokenError):
        reason, (line_number, _) = error.args
    lines = text.split("\n")  # as gin counts: a form feed ends none
    line = lines[min(line_number, len(lines)) - 1].strip()
    if isinstance(error, RecursionError | MemoryError):
        reason = "a value is nested too deeply"
    if "malformed node" in reason or "Failed to parse token" in reason:
        reason = "the value is not a Python literal; text needs quotes"
    place = origin if origin.startswith("--") else f"{origin}:{line_number}"
    return f"{place}: {reason.splitlines()[0]}\n    {line}"
