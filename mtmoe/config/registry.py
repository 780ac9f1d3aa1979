"""What can be configured: gin's registry, filled by importing our packages."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import inspect
import pkgutil
import sys
import types as types_module
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import gin

from mtmoe.errors import UnknownNameError

ROOMS = ("mesh", "model", "data", "train", "evaluate")
_AFTER_TRAINING = "mtmoe.evaluate."


def import_rooms() -> None:
    """Imports every module of ours that may register a configurable."""
    for room in ROOMS:
        package = importlib.import_module(f"mtmoe.{room}")
        for module in pkgutil.walk_packages(package.__path__, f"mtmoe.{room}."):
            importlib.import_module(module.name)


@dataclasses.dataclass(frozen=True)
class Configurable:
    """A registered function or class.

    Attributes:
      selector: the shortest name that is unique, as `gin.config_str` writes it.
      function: what the user wrote, without gin's wrapper.
      allowed: the only parameters gin may set; any if empty.
      denied: parameters gin may not set.
    """

    selector: str
    function: Callable[..., Any]
    allowed: frozenset[str] = frozenset()
    denied: frozenset[str] = frozenset()

    @property
    def parameters(self) -> Mapping[str, inspect.Parameter]:
        """The parameters that gin may set, by name, `self` left out."""
        return {
            name: parameter
            for name, parameter in _parameters(self.function).items()
            if name not in self.denied and name in (self.allowed or {name})
        }

    @property
    def takes_anything(self) -> bool:
        """Whether it has `**kwargs`."""
        kinds = [parameter.kind for parameter in self.parameters.values()]
        return inspect.Parameter.VAR_KEYWORD in kinds

    @property
    def required(self) -> list[str]:
        """Names of the parameters that have no default."""
        missing = (inspect.Parameter.empty, gin.REQUIRED)
        variadic = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
        return [
            name
            for name, parameter in self.parameters.items()
            if parameter.default in missing and parameter.kind not in variadic
        ]

    @property
    def annotations(self) -> Mapping[str, Any]:
        """Its parameters' types, and what a call returns under `return`.

        Those that cannot be resolved are left out.
        """
        return _annotations(self.function)

    @property
    def returns(self) -> Any:
        """The type of what a call gives; `Any` where that is not known."""
        if inspect.isclass(self.function):
            return self.function
        return self.annotations.get("return", Any)

    @property
    def calls(self) -> Iterator[Configurable]:
        """Yields the configurables that its defaults are, or are made by."""
        for parameter in self.parameters.values():
            yield from _configurable_behind(parameter.default)
        if dataclasses.is_dataclass(self.function):
            for field in dataclasses.fields(self.function):
                yield from _configurable_behind(field.default_factory)


@functools.cache
def _parameters(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(function).parameters


@functools.cache
def _annotations(function: Callable[..., Any]) -> Mapping[str, Any]:
    if dataclasses.is_dataclass(function):
        owners: list[Any] = [
            c for c in function.__mro__ if "__annotations__" in vars(c)
        ]
    elif inspect.isclass(function):
        owners = [inspect.unwrap(function.__init__)]
    else:
        owners = [inspect.unwrap(function)]
    types: dict[str, Any] = {}
    for owner in reversed(owners):
        namespace = vars(sys.modules[owner.__module__])
        for name, annotation in inspect.get_annotations(owner).items():
            # One by one: a name imported only under TYPE_CHECKING affects only its own
            # parameter.
            holder = types_module.SimpleNamespace(__annotations__={name: annotation})
            try:
                types |= typing.get_type_hints(holder, namespace)
            except (NameError, TypeError, AttributeError, SyntaxError):
                types.pop(name, None)
    return types


def _configurable_behind(value: Any) -> Iterator[Configurable]:
    """Yields the configurable that a default is, or is made by."""
    if inspect.isclass(value) or inspect.isfunction(value):
        known = gin.config._inverse_lookup(value)
        if known is not None:
            yield find(known.selector)


def find(selector: str, where: str = "") -> Configurable:
    """Returns the configurable a (possibly partial) name stands for.

    Args:
      selector: its name, without a scope.
      where: the place that names it, for the error.

    Raises:
      UnknownNameError: no configurable has that name, or several have.
    """
    registry = gin.config._REGISTRY
    matches = registry.matching_selectors(selector)
    if len(matches) == 1:
        entry = registry[matches[0]]
        return Configurable(
            registry.minimal_selector(matches[0]),
            entry.wrapped,
            frozenset(entry.allowlist or ()),
            frozenset(entry.denylist or ()),
        )
    if matches:
        kind = f"(ambiguous: {' or '.join(sorted(matches))}) configurable"
        raise UnknownNameError(kind, selector, (), where)
    names = {registry.minimal_selector(key) for key, _ in registry.items()}
    raise UnknownNameError("configurable", selector, names, where)


def known(selector: str) -> Configurable | None:
    """Returns the configurable of a name; None if there is none, or several."""
    try:
        return find(selector)
    except UnknownNameError:
        return None


def is_constant(name: str) -> bool:
    """Whether `%name` is a constant of gin's, such as `%gin.REQUIRED`."""
    return bool(gin.config._CONSTANTS.matching_selectors(name))


def runs_after_training(selector: str) -> bool:
    """Whether only commands that come after `mtmoe train` read a configurable.

    A run's config may bind it, and change it, without any effect on the weights.
    """
    found = known(selector)
    return bool(found and found.function.__module__.startswith(_AFTER_TRAINING))
