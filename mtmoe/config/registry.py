"""What can be configured: gin's registry, filled by importing our rooms."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
import typing
from collections.abc import Callable, Mapping
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
    """

    selector: str
    function: Callable[..., Any]

    @property
    def parameters(self) -> Mapping[str, inspect.Parameter]:
        """Its parameters by name, `self` left out."""
        return inspect.signature(self.function).parameters

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
        """Its parameters' types; those that cannot be resolved are left out."""
        function = self.function
        owner = function.__init__ if inspect.isclass(function) else function
        while hasattr(owner, "__wrapped__"):
            owner = owner.__wrapped__
        try:
            return typing.get_type_hints(owner)
        except (NameError, TypeError):  # names imported under TYPE_CHECKING only
            return {}


def find(selector: str, where: str = "") -> Configurable:
    """Returns the configurable a (possibly partial) name stands for.

    Args:
      selector: its name, without a scope.
      where: the place that names it, for the error.

    Raises:
      UnknownNameError: none has that name, or several have.
    """
    registry = gin.config._REGISTRY
    matches = registry.matching_selectors(selector)
    if len(matches) == 1:
        return Configurable(
            registry.minimal_selector(matches[0]), registry[matches[0]].wrapped
        )
    if matches:
        kind = f"(ambiguous: {' or '.join(sorted(matches))}) configurable"
        raise UnknownNameError(kind, selector, (), where)
    names = {registry.minimal_selector(key) for key, _ in registry.items()}
    raise UnknownNameError("configurable", selector, names, where)


def is_constant(name: str) -> bool:
    """Whether `%name` is a constant of gin's, such as `%gin.REQUIRED`."""
    return bool(gin.config._CONSTANTS.matching_selectors(name))


def runs_after_training(selector: str) -> bool:
    """Whether a configurable is read by commands that come after `mtmoe train` only.

    A run's config may bind it, and change it, without any effect on the weights.
    """
    try:
        return find(selector).function.__module__.startswith(_AFTER_TRAINING)
    except UnknownNameError:
        return False
