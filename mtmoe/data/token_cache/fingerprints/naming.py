"""Names Python values by what decides their behaviour: the same in every process.

A value becomes plain JSON: data as it is (or its hash, if it is long), a function as
its name with its defaults, closure and gin bindings, a partial or an object with its
parts. The code behind the names is collected on the way, for `module_code`.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import hashlib
import json
import os
import re
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import gin
import numpy as np
import seqio
import tensorflow as tf

from mtmoe.data.token_cache.fingerprints.module_code import has_source
from mtmoe.data.vocabulary.configured import vocabulary_behind, vocabulary_fingerprint
from mtmoe.errors import ConfigError, UnnamedContentError

Json = Any

_LONGEST = 300  # characters of JSON that are kept as they are
_SET_BY_SEQIO = frozenset({"sequence_length", "output_features"})


class Namer:
    """Names values, and collects which modules and gin configurables they rest on.

    Attributes:
      modules: modules whose code the named values run.
      configurables: gin's selectors of named functions and classes.
    """

    def __init__(self) -> None:
        """Starts without modules."""
        self.modules: set[str] = set()
        self.configurables: set[str] = set()
        self._inside: list[int] = []

    def name(self, value: object, where: str) -> Json:
        """Returns the name of a value.

        Args:
          value: anything a source or a step holds.
          where: what it is, for the error: "step 2 (my.module.clean)".

        Raises:
          UnnamedContentError: neither content nor code of it can be named.
        """
        if value is None or isinstance(value, bool | int | str):
            return _short(value)
        if id(value) in self._inside:
            return f"level {self._inside.index(id(value))} of this name"
        self._inside.append(id(value))
        try:
            return _short(self._name(value, where))
        finally:
            self._inside.pop()

    def _name(self, value: Any, where: str) -> Json:
        data = _data(value)
        if data is not None:
            return data
        if isinstance(value, seqio.Vocabulary):
            return self._vocabulary(value, where)
        if isinstance(value, Mapping):
            pairs = [
                [self.name(k, f"a key of {where}"), self.name(v, f"{k!r} of {where}")]
                for k, v in value.items()
            ]
            return {"mapping": sorted(pairs, key=_text)}
        if isinstance(value, set | frozenset):
            return {"set": sorted((self.name(v, where) for v in value), key=_text)}
        if isinstance(value, list | tuple):
            return self._sequence(value, where)
        if isinstance(value, functools.partial):
            return self._partial(value, where)
        if isinstance(value, types.MethodType):
            of = self.name(value.__self__, f"the object of {where}")
            return {"method": value.__func__.__qualname__, "of": of}
        if isinstance(value, types.FunctionType):
            return self._function(value, where)
        if isinstance(value, types.BuiltinFunctionType | types.MethodWrapperType):
            return f"built-in {value.__module__ or ''}.{value.__qualname__}"
        if isinstance(value, types.ModuleType):
            return self._module(value.__name__, where)
        if isinstance(value, type):
            self._configurable(value)
            return self._class(value, where)
        if isinstance(value, functools._lru_cache_wrapper):
            return self.name(value.__wrapped__, where)
        return self._object(value, where)

    def _sequence(self, value: list[Any] | tuple[Any, ...], where: str) -> Json:
        items = [
            self.name(item, f"item {i} of {where}") for i, item in enumerate(value)
        ]
        if hasattr(value, "_fields"):  # a named tuple
            return {"class": self._class(type(value), where), "fields": items}
        return items

    def _partial(self, value: functools.partial[Any], where: str) -> Json:
        named = {"function": self.name(value.func, where)}
        if value.args:
            named["arguments"] = [
                self.name(item, f"argument {number} of {where}")
                for number, item in enumerate(value.args)
            ]
        for key, item in sorted(value.keywords.items()):
            named[f"{key}="] = self.name(item, f"argument {key!r} of {where}")
        return named

    def _function(self, function: types.FunctionType, where: str) -> Json:
        own_name = _own_fingerprint(function)
        if own_name is not None:
            return {"function": _label(function), "fingerprint": own_name}
        configured = self._configurable(function)
        if configured is not None and configured is not function:
            return self.name(configured, where)
        # A wrapper takes over the name of what it wraps; its globals are its own.
        module = str(function.__globals__.get("__name__", ""))
        self._module(module, where)
        label = _label(function)
        if function.__name__ == "<lambda>":
            label += f", line {function.__code__.co_firstlineno}"
        named: dict[str, Json] = {"function": label}
        if not label.startswith(module):
            named["wrapper"] = f"{module}.{function.__code__.co_name}"
        for kind, values in _held_by(function):
            if values:
                named[kind] = {
                    key: self.name(item, f"{kind} {key!r} of {label}, {where},")
                    for key, item in sorted(values.items())
                }
        return named if len(named) > 1 else label

    def _configurable(self, value: Any) -> Any:
        """Notes a gin configurable; returns what it wraps, None for anything else."""
        configurable = gin.config._inverse_lookup(value)
        if configurable is None:
            return None
        self.configurables.add(configurable.selector)
        return configurable.wrapped

    def _class(self, value: type, where: str) -> str:
        self._module(value.__module__, where)
        for base in value.__mro__[1:-1]:
            if not base.__module__.startswith("mtmoe.data."):
                self._module(base.__module__, where)
        return _label(value)

    def _object(self, value: Any, where: str) -> Json:
        own_name = _own_fingerprint(value)
        named: dict[str, Json] = {"object": self._class(type(value), where)}
        if own_name is not None:
            return {**named, "fingerprint": own_name}
        for key, item in sorted(self._parts(value, where).items()):
            named[key] = self.name(item, f"{key!r} of {where}")
        return named

    def _parts(self, value: Any, where: str) -> Mapping[str, Any]:
        if dataclasses.is_dataclass(value):
            names = {field.name for field in dataclasses.fields(value)}
            return {name: getattr(value, name) for name in names - _SET_BY_SEQIO}
        self._configurable(type(value))
        if hasattr(value, "__dict__"):
            return dict(vars(value))
        try:  # what pickle would make it of again: `operator.itemgetter`, for one
            made_of = value.__reduce_ex__(4)
        except (TypeError, ValueError):
            raise _unnamed(value, where) from None
        if not isinstance(made_of, tuple) or made_of[1] == (type(value),):
            raise _unnamed(value, where)
        return {"made of": list(made_of[1:])}

    def _vocabulary(self, vocabulary: seqio.Vocabulary, where: str) -> Json:
        vocabulary = vocabulary_behind(vocabulary)
        try:
            digest = vocabulary_fingerprint(vocabulary)
        except ConfigError:  # a kind of the user's own
            return self._object(vocabulary, where)
        kind = type(vocabulary).__name__
        return f"{kind} of {vocabulary.vocab_size} tokens, {digest}"

    def _module(self, module: str, where: str) -> str:
        if not has_source(module):
            raise UnnamedContentError(
                f"{where} is code of {module or 'no module'!r}, which is in no file: "
                "nobody can tell when it changes; put it into a module"
            )
        self.modules.add(module)
        return module


def gin_facts(
    selectors: Iterable[str], modules: frozenset[str], packages: frozenset[str]
) -> dict[str, Json]:
    """Returns the gin bindings that code may see, by `scope/name.parameter`.

    Args:
      selectors: configurables that are named themselves.
      modules: modules whose configurables count.
      packages: top-level packages whose configurables count.

    Raises:
      UnnamedContentError: a bound value cannot be named.
    """
    chosen = set(selectors)
    facts: dict[str, Json] = {}
    for (scope, selector), bindings in gin.config._CONFIG.items():
        module = _home(selector)
        top = module.partition(".")[0]
        if selector in chosen or module in modules or top in packages:
            prefix = f"{scope}/{selector}" if scope else selector
            for parameter, value in bindings.items():
                facts[f"{prefix}.{parameter}"] = _bound(value, ())
    return facts


@functools.cache
def _home(selector: str) -> str:
    """Returns the module that a configurable is written in."""
    configurable = gin.config._REGISTRY.get(selector)
    return str(getattr(getattr(configurable, "wrapped", None), "__module__", ""))


def _bound(value: object, seen: tuple[str, ...]) -> Json:
    """Returns the name of a bound value; of a reference, its own bindings too."""
    if isinstance(value, list | tuple):
        return [_bound(item, seen) for item in value]
    if isinstance(value, dict):
        return {str(key): _bound(item, seen) for key, item in value.items()}
    if not isinstance(value, gin.config.ConfigurableReference):
        return Namer().name(value, "a value bound by gin")
    scope, selector = value.config_key
    scoped = f"{scope}/{selector}{'()' if value.evaluate else ''}"
    named: dict[str, Json] = {"reference": scoped}
    if scoped in seen:
        return named
    scopes = scope.split("/") if scope else []
    for depth in range(len(scopes) + 1):  # an outer scope's bindings hold inside it
        key = ("/".join(scopes[:depth]), selector)
        for parameter, item in sorted(gin.config._CONFIG.get(key, {}).items()):
            named[parameter] = _bound(item, (*seen, scoped))
    return named


def digest_of(value: Json) -> str:
    """Returns the SHA-256 of plain JSON, whatever the order of its keys."""
    return hashlib.sha256(_text(value).encode("utf-8")).hexdigest()


def _data(value: Any) -> Json:
    """Returns the name of plain data, None if a value is something else."""
    if isinstance(value, float | complex):
        return repr(value)
    if isinstance(value, bytes):
        return f"{len(value)} bytes, sha256 {hashlib.sha256(value).hexdigest()}"
    if isinstance(value, enum.Enum):
        return str(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, re.Pattern):
        return f"pattern {value.pattern!r}, flags {value.flags}"
    if isinstance(value, tf.dtypes.DType):
        return f"type {value.name}"
    if isinstance(value, tf.TensorShape):
        return f"shape {value}"
    if isinstance(value, tf.__internal__.EagerTensor):
        value = value.numpy()
        if isinstance(value, bytes):
            return _data(value)
    if isinstance(value, np.ndarray | np.generic):
        array = np.asarray(value)
        if array.dtype.hasobject:
            content = _text([str(item) for item in array.ravel().tolist()]).encode()
        else:
            content = np.ascontiguousarray(array).tobytes()
        digest = hashlib.sha256(content).hexdigest()
        return f"array {array.dtype} {list(array.shape)}, sha256 {digest}"
    return None


def _held_by(function: types.FunctionType) -> list[tuple[str, dict[str, Any]]]:
    """Returns the values a function carries with it: defaults and closure."""
    code, values = function.__code__, function.__defaults__ or ()
    positional = code.co_varnames[: code.co_argcount]
    defaults = dict(
        zip(positional[len(positional) - len(values) :], values, strict=True)
    )
    defaults.update(function.__kwdefaults__ or {})
    closure = {}
    cells = zip(code.co_freevars, function.__closure__ or (), strict=True)
    for name, cell in cells:
        if name != "__class__":
            try:
                closure[name] = cell.cell_contents
            except ValueError:  # not assigned yet
                closure[name] = None
    return [("default", defaults), ("closed-over", closure)]


def _own_fingerprint(value: Any) -> str | None:
    """Returns what a value says of its own content, None if it says nothing."""
    fingerprint: Callable[[], str] | None = getattr(value, "fingerprint", None)
    return str(fingerprint()) if callable(fingerprint) else None


def _label(value: Any) -> str:
    return f"{value.__module__}.{value.__qualname__}"


def _unnamed(value: object, where: str) -> UnnamedContentError:
    return UnnamedContentError(
        f"{where} is a {type(value).__module__}.{type(value).__qualname__}, whose "
        "content has no name: nobody can tell when it changes. Give the source or step "
        "a method `fingerprint() -> str` that changes with its content, or move the "
        "data into a file"
    )


def _short(named: Json) -> Json:
    """Returns a name as it is if it is short, else its hash: manifests hold no data."""
    text = _text(named)
    if len(text) <= _LONGEST:
        return named
    if isinstance(named, dict) and {"function", "object", "method"} & set(named):
        return named  # code, whose parts are short
    digest = hashlib.sha256(text.encode("utf-8")).hexdigest()
    return f"{type(named).__name__} of {len(text)} characters, sha256 {digest}"


def _text(named: Json) -> str:
    return json.dumps(named, sort_keys=True, ensure_ascii=False)
