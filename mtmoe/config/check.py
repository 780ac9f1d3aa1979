"""Every mistake in a config's statements, with file, line and the nearest right name.

Found before anything is bound or built: unknown configurables, parameters and macros;
unused macros; a key set twice in one file; values of another type or outside the range
of the parameter's; parameters left out; numbers that must agree.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from mtmoe.config.in_force import (
    Called,
    InForce,
    iterate,
    key_of,
    macros_of,
    resolve,
)
from mtmoe.config.registry import Configurable, find, is_constant, known
from mtmoe.config.retired import advice
from mtmoe.config.statements import Binding, Macro, Reference
from mtmoe.config.value_types import matches, type_name
from mtmoe.errors import ConfigError, UnknownNameError, did_you_mean
from mtmoe.ranges import range_errors


@dataclasses.dataclass
class Problems:
    """One message for each mistake, and the statements whose value must not be used."""

    messages: list[str] = dataclasses.field(default_factory=list)
    faulty: list[Binding] = dataclasses.field(default_factory=list)

    def add(self, message: str, binding: Binding | None = None) -> None:
        """Notes a mistake, once."""
        if message not in self.messages:
            self.messages.append(message)
        if binding is not None:
            self.faulty.append(binding)


def problems(statements: Sequence[Binding], roots: Iterable[str] = ()) -> Problems:
    """Returns the mistakes in statements, where later ones override earlier ones.

    Args:
      statements: all of them, in order.
      roots: configurables the command calls by itself; their parameters without a
        default must be bound, as those of any `@name()`.
    """
    found = statement_problems(statements)
    macros = {b.macro_name: b for b in statements if b.is_macro}
    for message in _unused_macros(statements, macros):
        found.add(message)
    for message in _not_given(InForce(statements)):
        found.add(message)
    sound = InForce([b for b in statements if b not in found.faulty])
    misspelt = {b.selector.rsplit(".", 1)[-1] for b in found.faulty}
    for selector, parameter, where in _missing_parameters(sound, roots):
        if selector.rsplit(".", 1)[-1] not in misspelt:
            found.add(f"{selector}.{parameter} is not set and has no default{where}")
    return found


def statement_problems(statements: Sequence[Binding]) -> Problems:
    """Returns the mistakes that do not depend on what else is stated."""
    found = Problems()
    macros = {b.macro_name: b for b in statements if b.is_macro}
    for binding in statements:
        for message in _binding_problems(binding, macros):
            found.add(message, binding)
    for message in _set_twice(statements):
        found.add(message)
    unusable = {b.macro_name for b in found.faulty if b.is_macro}
    for binding in statements:
        if unusable.intersection(macros_of(binding.value)):
            found.faulty.append(binding)
            if binding.is_macro:
                unusable.add(binding.macro_name)
    return found


def _binding_problems(binding: Binding, macros: Mapping[str, Binding]) -> Iterator[str]:
    for item in iterate(binding.value):
        if isinstance(item, Reference):
            try:
                find(item.selector, binding.where)
            except UnknownNameError as error:
                yield str(error)
        elif isinstance(item, Macro):
            if item.name not in macros and not is_constant(item.name):
                yield str(UnknownNameError("macro", item.name, macros, binding.where))
    try:
        value = resolve(binding.value, {n: b.value for n, b in macros.items()})
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
    where = place(binding, macros)
    name = binding.parameter
    if name not in configurable.parameters and not configurable.takes_anything:
        yield _unknown_parameter(configurable, name, binding.where)
        return
    annotation = configurable.annotations.get(name, Any)
    if not matches(annotation, value):
        yield (
            f"{configurable.selector}.{name} must be of type {type_name(annotation)}, "
            f"got {value!r}{_hint(annotation, value)} ({where})"
        )
        return
    try:
        outside = range_errors(
            configurable.selector, configurable.function, {name: value}
        )
    except (NameError, TypeError):  # the user's annotations cannot be resolved
        outside = []
    for number in outside:
        yield f"{number} ({where})"


def place(binding: Binding, macros: Mapping[str, Binding]) -> str:
    """Returns where a binding stands, and the macros that its value is from."""
    parts, names = [binding.where], macros_of(binding.value)
    for name in names:
        if name in macros:
            parts.append(f"%{name} is set at {macros[name].where}")
            names.extend(n for n in macros_of(macros[name].value) if n not in names)
    return "; ".join(parts)


def _hint(annotation: Any, value: Any) -> str:
    """Says what was meant, where a pair of brackets or quotes decides."""
    if isinstance(value, Reference):
        other = Reference(value.name, not value.evaluate)
        return f"; write {other!r}" if matches(annotation, other) else ""
    if isinstance(value, str) and known(value) and not matches(annotation, value):
        for meant in (Reference(value, True), Reference(value, False)):
            if matches(annotation, meant):
                return f"; write {meant!r}"
    return ""


def _unknown_parameter(configurable: Configurable, name: str, where: str) -> str:
    if replaced_by := advice(configurable.selector, name):
        return f"{configurable.selector}.{name} is gone: {replaced_by} ({where})"
    allowed = list(configurable.parameters)
    hint = did_you_mean(name, allowed)
    message = f"{configurable.selector} has no parameter {name!r}{hint}"
    return f"{message} It has: {', '.join(allowed)} ({where})"


def _set_twice(statements: Sequence[Binding]) -> Iterator[str]:
    """Yields the keys that one file sets twice, which is surely a mistake."""
    places: dict[tuple[str, str], str] = {}
    for binding in statements:
        if binding.is_macro:
            what = binding.macro_name
        elif known(binding.selector):
            what = str(key_of(binding))
        else:
            continue
        before = places.setdefault((binding.file, what), binding.where)
        if binding.file and before != binding.where:
            yield (
                f"{what} is set twice in {binding.file}; keep one "
                f"({before} and {binding.where})"
            )


def _unused_macros(
    statements: Sequence[Binding], macros: Mapping[str, Binding]
) -> Iterator[str]:
    """Yields the user's own macros that nothing uses.

    One set by a flag must be used by what is in force, one of a file by any statement:
    a later one may have overridden it.
    """
    force = InForce(statements)
    in_force = [*force.bindings.values(), *macros.values()]
    ever = {name for binding in statements for name in macros_of(binding.value)}
    now = {name for binding in in_force for name in macros_of(binding.value)}
    for name, binding in macros.items():
        used = ever if binding.file else now
        if binding.own and name not in used:
            hint = did_you_mean(name, used)
            yield f"nothing uses macro {name!r}{hint} ({binding.where})"


def _not_given(force: InForce) -> Iterator[str]:
    for key, binding in [*force.bindings.items(), *force.macros.items()]:
        if isinstance(binding.value, Macro) and is_constant(binding.value.name):
            yield f"{key} must be given: --gin_param='{key}=...' ({binding.where})"


def _missing_parameters(
    force: InForce, roots: Iterable[str]
) -> Iterator[tuple[str, str, str]]:
    """Yields (configurable, parameter, place) where a call would lack a parameter.

    Without roots everything bound counts as called.
    """
    starts = [Called((), find(root).selector) for root in roots]
    must_be_complete: dict[Called, str] = dict.fromkeys(starts, "")
    if not starts:
        starts = [Called(key.scopes, key.selector) for key in force.bindings]
    for caller in force.reach(starts):
        for callee, key, evaluated in force.called_by(caller):
            if evaluated and key is not None:
                where = f" ({force.bindings[key].where})"
                must_be_complete.setdefault(callee, where)
    for called, where in must_be_complete.items():
        bound = force.parameters(called)
        for parameter in find(called.selector).required:
            if parameter not in bound:
                yield called.selector, parameter, where
