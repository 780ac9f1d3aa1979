"""Describes a Python object in text, so that equal texts mean equal behaviour.

What a build function makes is decided by its code, by what it closes over, and by the
code that all of this calls. `describe` covers the first two, down to plain values;
`kept.sources` covers the rest, the files. What it cannot describe for sure, such as an
object of C++, it refuses: then nothing may be kept.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import pathlib
import re
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from mtmoe.engine.kept.sources import is_installed, is_product
from mtmoe.errors import MtmoeError
from mtmoe.mesh.compat import mtf

_PLAIN = (type(None), bool, int, str, bytes, complex, type(...), type(NotImplemented))
_CONTAINERS = (list, tuple, dict, set, frozenset, types.MappingProxyType)


# Attributes of a class that its methods do not depend on.
_NO_BEHAVIOUR = frozenset(
    "__dict__ __weakref__ __module__ __doc__ __annotations__ __annotate__ "
    "__match_args__ __parameters__ __orig_bases__ __static_attributes__ "
    "__firstlineno__ __abstractmethods__ _abc_impl".split()
)


class NoFingerprintError(MtmoeError):
    """An object whose behaviour cannot be described for sure."""


def describe(value: Any) -> str:
    """Returns a text that is equal only for objects that behave in the same way.

    Args:
      value: plain values, containers, arrays, dtypes, dataclasses and other objects of
        Python classes, functions with what they close over, and modules.

    Raises:
      NoFingerprintError: it contains something else; the message says where.
    """
    return repr(_Description().of(value, "it"))


class _Description:
    """One walk over an object; what it meets again it names by its number."""

    def __init__(self) -> None:
        self._seen: dict[int, int] = {}
        self._alive: list[Any] = []  # so that no id is used twice

    def of(self, value: Any, where: str) -> Any:
        """Returns nested tuples of strings and numbers."""
        kind = type(value)
        if kind in _PLAIN:
            return (kind.__name__, value)
        if kind is float:
            return ("float", value.hex())
        if id(value) in self._seen:
            return ("again", self._seen[id(value)])
        self._seen[id(value)] = len(self._seen)
        self._alive.append(value)
        if isinstance(value, types.ModuleType):
            return ("module", value.__name__)
        if isinstance(value, type):
            return self._class(value, where)
        if kind in _CONTAINERS:
            return (kind.__name__, *self._items(value, where))
        known = _known(value)
        if known is not None:
            return known
        if isinstance(value, functools.partial):
            parts = (value.func, value.args, value.keywords, vars(value))
            return ("partial", *(self.of(part, where) for part in parts))
        if isinstance(value, types.MethodType):
            owner = self.of(value.__self__, where)
            return ("method", owner, self.of(value.__func__, where))
        if isinstance(value, types.BuiltinFunctionType):
            if isinstance(value.__self__, types.ModuleType):
                return ("builtin", value.__module__, value.__qualname__)
            raise _refused(value, where)
        if isinstance(value, types.FunctionType):
            return self._function(value, where)
        return self._object(value, where)

    def _items(self, value: Any, where: str) -> Iterator[Any]:
        if isinstance(value, Mapping):
            for key, item in value.items():
                yield self.of(key, f"a key of {where}")
                yield self.of(item, f"{where}[{key!r}]")
        elif isinstance(value, set | frozenset):
            texts = [repr(_Description().of(x, f"an item of {where}")) for x in value]
            yield from sorted(texts)
        else:
            for i, item in enumerate(value):
                yield self.of(item, f"{where}[{i}]")

    def _function(self, function: types.FunctionType, where: str) -> Any:
        """A function by its name and code, and all that is bound to it."""
        name = f"{function.__module__}.{function.__qualname__}"
        where = f"{name} in {where}"
        by_name = _named(function.__module__, function.__qualname__) is function
        if by_name and (is_installed(function) or is_product(function)):
            return ("function", name)
        code = function.__code__
        cells = [
            (free, self._cell(cell, f"{free} of {where}"))
            for free, cell in zip(
                code.co_freevars, function.__closure__ or (), strict=True
            )
        ]
        own = {k: v for k, v in vars(function).items() if not k.startswith("__")}
        bound = (function.__defaults__, function.__kwdefaults__, own)
        described = [self.of(part, where) for part in bound]
        if not (is_installed(function) or is_product(function)):
            described += self._globals(function, where)
        return ("function", name, _code(code), cells, *described)

    def _cell(self, cell: types.CellType, where: str) -> Any:
        try:
            return self.of(cell.cell_contents, where)
        except ValueError:  # empty
            return ("empty",)

    def _globals(self, function: types.FunctionType, where: str) -> list[Any]:
        """What a user's function names of its module, and of modules of the user's."""
        names = _names(function.__code__)
        found: list[Any] = []
        for name in sorted(names & function.__globals__.keys()):
            value = function.__globals__[name]
            found.append((name, self.of(value, f"{name}, which {where} uses")))
            if isinstance(value, types.ModuleType) and not (
                is_installed(value) or is_product(value)
            ):
                for inner in sorted(names & vars(value).keys()):
                    text = f"{name}.{inner}, which {where} uses"
                    found.append((name, inner, self.of(vars(value)[inner], text)))
        return found

    def _class(self, kind: type, where: str) -> Any:
        """A class by its name; a user's, or one made by a function, by its content."""
        name = f"{kind.__module__}.{kind.__qualname__}"
        by_name = _named(kind.__module__, kind.__qualname__) is not None
        if by_name and (is_installed(kind) or is_product(kind)):
            return ("class", name)
        content = []
        for key, value in vars(kind).items():
            if key in _NO_BEHAVIOUR or key.startswith("__dataclass"):
                continue
            for part in _class_parts(value):
                if isinstance(part, types.GetSetDescriptorType | _MEMBER):
                    continue
                content.append((key, self.of(part, f"{key} of {name}")))
        bases = [self.of(base, where) for base in kind.__bases__ if base is not object]
        return ("class", name, bases, content)

    def _object(self, value: Any, where: str) -> Any:
        """An object of a class written in Python, by its attributes."""
        kind = type(value)
        where = f"a {kind.__qualname__} in {where}"
        written_here = [
            c
            for c in kind.__mro__
            if c is not object and c.__module__ not in ("abc", "typing")
        ]
        if not written_here or any(
            is_installed(c) and not dataclasses.is_dataclass(c) for c in written_here
        ):
            raise _refused(value, where)
        attributes = dict(getattr(value, "__dict__", {}))
        for c in written_here:
            slots = vars(c).get("__slots__", ())
            for slot in (slots,) if isinstance(slots, str) else slots:
                if hasattr(value, slot):
                    attributes[slot] = getattr(value, slot)
        found = [
            (name, self.of(attributes[name], f"{name} of {where}"))
            for name in sorted(attributes)
            if not isinstance(
                getattr(kind, name, None), functools.cached_property
            )  # follows from the rest
        ]
        return ("object", self.of(kind, where), found)


class _Slots:
    __slots__ = ("a",)


_MEMBER = type(_Slots.a)  # type: ignore[attr-defined]


# Classes whose objects are understood without their attributes; the first match counts.
_KNOWN: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (np.dtype, lambda value: (value.str, value.descr)),
    (tf.DType, lambda value: value.name),
    (tf.TensorShape, repr),
    (tf.TensorSpec, lambda value: (repr(value.shape), value.dtype.name, value.name)),
    (mtf.Dimension, lambda value: (value.name, value.size)),
    (mtf.Shape, lambda value: [(d.name, d.size) for d in value.dims]),
    (pathlib.PurePath, str),
    (re.Pattern, lambda value: (value.pattern, value.flags)),
    (range, repr),
    (slice, repr),
)


def _known(value: Any) -> Any:
    """Describes known values of classes not written in Python; None for any other."""
    if isinstance(value, np.ndarray | np.generic):
        array = np.asarray(value)
        if array.dtype == object:
            return None
        return ("array", array.dtype.str, array.shape, array.tobytes())
    kind = type(value)
    if isinstance(value, enum.Enum):
        return ("enum", kind.__module__, kind.__qualname__, value.name)
    if kind.__module__ == "dataclasses":  # a mark, such as MISSING
        return ("dataclasses", kind.__qualname__)
    for known, content in _KNOWN:
        if isinstance(value, known):
            return (known.__name__, content(value))
    return None


def _class_parts(value: Any) -> list[Any]:
    if isinstance(value, property):
        return [f for f in (value.fget, value.fset, value.fdel) if f is not None]
    if isinstance(value, staticmethod | classmethod):
        return [value.__func__]
    if isinstance(value, functools.cached_property):
        return [value.func]
    return [value]


def _code(code: types.CodeType) -> Any:
    """Describes a function's code, without the file and line it is in."""
    constants = tuple(_constant(c) for c in code.co_consts)
    names = (code.co_names, code.co_varnames, code.co_freevars)
    return (code.co_name, code.co_code, constants, *names, code.co_flags)


def _constant(value: Any) -> Any:
    if isinstance(value, types.CodeType):
        return _code(value)
    if isinstance(value, frozenset):  # its order is another in each process
        return ("frozenset", *sorted(repr(_constant(x)) for x in value))
    if isinstance(value, tuple):
        return ("tuple", *(_constant(x) for x in value))
    return repr(value)


def _names(code: types.CodeType) -> set[str]:
    """The names that a function's code, and functions in it, look up."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _names(constant)
    return names


def _named(module: str | None, qualname: str) -> Any:
    """What a module has under a name; None if there is no such thing."""
    value: Any = sys.modules.get(module or "")
    for part in qualname.split("."):
        value = getattr(value, part, None)
    return value


def _refused(value: Any, where: str) -> NoFingerprintError:
    kind = type(value)
    return NoFingerprintError(
        f"what {where} does cannot be told from outside: it is of the class "
        f"{kind.__module__}.{kind.__qualname__}"
    )
