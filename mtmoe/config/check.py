"""Every mistake in a config, with file, line and the nearest right name.

Found before anything is bound or trained: unknown configurables, parameters and macros;
macros nobody uses; values of another type than the parameter's; parameters left out.
"""

from __future__ import annotations

import collections.abc
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from mtmoe.config.registry import Configurable, find, is_constant
from mtmoe.config.statements import Binding, Macro, Reference
from mtmoe.errors import ConfigError, UnknownNameError, nearest_names


def problems(bindings: Sequence[Binding], roots: Iterable[str] = ()) -> list[str]:
    """Returns one message per mistake, in the order of the statements.

    Args:
      bindings: all statements, in order; later ones override earlier ones.
      roots: configurables the command calls by itself; their parameters without a
        default must be bound, as those of any `@name()`.
    """
    macros = {b.macro_name: b.value for b in bindings if b.is_macro}
    found: list[str] = []
    for binding in bindings:
        found.extend(_binding_problems(binding, macros))
    found.extend(_unused_macros(bindings))
    if not found:
        found.extend(_not_given(bindings))
        found.extend(_missing_parameters(bindings, roots))
    return found


def iterate(value: Any) -> Iterator[Any]:
    """Yields a value and everything inside its lists, tuples and dicts."""
    yield value
    if isinstance(value, dict):
        for key, item in value.items():
            yield from iterate(key)
            yield from iterate(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from iterate(item)


def resolve(value: Any, macros: Mapping[str, Any], inside: tuple[str, ...] = ()) -> Any:
    """Replaces macros by what they stand for; unknown ones are left as they are.

    Raises:
      ConfigError: a macro is defined by itself.
    """
    if isinstance(value, Macro) and value.name in macros:
        if value.name in inside:
            raise ConfigError(f"macro %{value.name} is defined by itself")
        return resolve(macros[value.name], macros, (*inside, value.name))
    if isinstance(value, list | tuple):
        return type(value)(resolve(item, macros, inside) for item in value)
    if isinstance(value, dict):
        return {
            resolve(key, macros, inside): resolve(item, macros, inside)
            for key, item in value.items()
        }
    return value


def _binding_problems(binding: Binding, macros: Mapping[str, Any]) -> Iterator[str]:
    for item in iterate(binding.value):
        if isinstance(item, Reference):
            try:
                find(item.name.rsplit("/", 1)[-1], binding.where)
            except UnknownNameError as error:
                yield str(error)
        elif isinstance(item, Macro):
            if item.name not in macros and not is_constant(item.name):
                yield str(UnknownNameError("macro", item.name, macros, binding.where))
    try:
        value = resolve(binding.value, macros)
    except ConfigError as error:
        yield f"{error} ({binding.where})"
        return
    if binding.is_macro:
        return
    try:
        configurable = find(binding.selector, binding.where)
    except UnknownNameError as error:
        yield str(error)
        return
    name = binding.parameter
    if name not in configurable.parameters and not configurable.takes_anything:
        yield _unknown_parameter(configurable, name, binding.where)
    elif not matches(configurable.annotations.get(name, Any), value):
        expected = configurable.parameters[name].annotation
        yield (
            f"{configurable.selector}.{name} must be of type {expected}, got "
            f"{value!r} ({binding.where})"
        )


def _unknown_parameter(configurable: Configurable, name: str, where: str) -> str:
    allowed = list(configurable.parameters)
    nearest = nearest_names(name, allowed)
    message = f"{configurable.selector} has no parameter {name!r}"
    if nearest:
        message += "; did you mean " + " or ".join(nearest) + "?"
    return f"{message} It has: {', '.join(allowed)} ({where})"


def _unused_macros(bindings: Sequence[Binding]) -> Iterator[str]:
    used = {
        item.name
        for binding in bindings
        for item in iterate(binding.value)
        if isinstance(item, Macro)
    }
    for binding in bindings:
        if binding.is_macro and binding.macro_name not in used:
            nearest = nearest_names(binding.macro_name, used)
            hint = "; did you mean " + " or ".join(nearest) + "?" if nearest else ""
            yield f"nothing uses macro {binding.macro_name!r}{hint} ({binding.where})"


def _final(bindings: Sequence[Binding]) -> dict[tuple[str, str, str], Binding]:
    """Returns the binding in force for each (scope, configurable, parameter)."""
    return {
        (
            b.scope,
            b.selector if b.is_macro else find(b.selector).selector,
            b.parameter,
        ): b
        for b in bindings
    }


def _not_given(bindings: Sequence[Binding]) -> Iterator[str]:
    for binding in _final(bindings).values():
        if isinstance(binding.value, Macro) and is_constant(binding.value.name):
            name = binding.macro_name
            name += f".{binding.parameter}" if binding.parameter else ""
            yield f"{name} must be given: --gin_param='{name}=...' ({binding.where})"


def _missing_parameters(
    bindings: Sequence[Binding], roots: Iterable[str]
) -> Iterator[str]:
    called = {find(root).selector: "" for root in roots}
    for binding in _final(bindings).values():
        for item in iterate(binding.value):
            if isinstance(item, Reference) and item.evaluate:
                selector = find(item.name.rsplit("/", 1)[-1]).selector
                called.setdefault(selector, f" ({binding.where})")
    bound = {(selector, parameter) for _, selector, parameter in _final(bindings)}
    for selector, where in called.items():
        for parameter in find(selector).required:
            if (selector, parameter) not in bound:
                yield f"{selector}.{parameter} is not set and has no default{where}"


def matches(annotation: Any, value: Any) -> bool:
    """Whether a literal can be a parameter of the annotated type.

    Only what gin files hold is judged: numbers, text, truth values, None and their
    containers. References and classes of our own are left to whoever receives them.
    """
    if any(isinstance(item, Reference | Macro) for item in iterate(value)):
        return True
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        return any(matches(option, value) for option in typing.get_args(annotation))
    if origin is typing.Literal:
        return value in typing.get_args(annotation)
    if annotation is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if annotation is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if annotation in (bool, str):
        return isinstance(value, annotation)
    if annotation is type(None):
        return value is None
    container = origin or annotation
    if container in (tuple, list, collections.abc.Sequence):
        return isinstance(value, tuple | list)
    if container in (dict, collections.abc.Mapping):
        return isinstance(value, dict)
    return True
