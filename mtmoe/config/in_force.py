"""Which of many statements is in force, what it overrode, and what calls what."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from mtmoe.config.registry import find, is_constant, known
from mtmoe.config.statements import Binding, Macro, Reference
from mtmoe.errors import ConfigError

Scope = tuple[str, ...]


class Key(NamedTuple):
    """What a binding sets: a parameter of a configurable with its shortest name."""

    scope: str
    selector: str
    parameter: str

    @property
    def scopes(self) -> Scope:
        """The scope's parts, outermost first."""
        return tuple(self.scope.split("/")) if self.scope else ()

    def __str__(self) -> str:
        """Returns it as one writes it."""
        scope = f"{self.scope}/" if self.scope else ""
        return f"{scope}{self.selector}.{self.parameter}"


class Called(NamedTuple):
    """A configurable that is called in a scope, by its shortest unique name."""

    scope: Scope
    selector: str


class InForce:
    """Statements, those that count and those that were overridden.

    Statements about unknown configurables are left out; `check` reports them.

    Attributes:
      bindings: the statement in force for each key, in the order first set.
      overridden: the statements before it, in order.
      macros: the definition in force by a macro's name.
    """

    def __init__(self, statements: Sequence[Binding]):
        """Takes statements in order; later ones override earlier ones."""
        self.bindings: dict[Key, Binding] = {}
        self.overridden: dict[Key, list[Binding]] = collections.defaultdict(list)
        self.macros: dict[str, Binding] = {}
        for statement in statements:
            if statement.is_macro:
                self.macros[statement.macro_name] = statement
                continue
            if known(statement.selector) is None:
                continue
            key = key_of(statement)
            if key in self.bindings:
                self.overridden[key].append(self.bindings[key])
            self.bindings[key] = statement
        self._of = collections.defaultdict[str, list[Key]](list)
        for key in self.bindings:
            self._of[key.selector].append(key)

    def resolve(self, value: Any) -> Any:
        """Replaces macros by their values, except unknown ones.

        Raises:
          ConfigError: a macro is defined by itself.
        """
        return resolve(value, {name: b.value for name, b in self.macros.items()})

    def macros_in_use(self) -> dict[str, Binding]:
        """Returns the macros that bindings in force take up, however indirectly."""
        used: dict[str, Binding] = {}
        waiting = [n for b in self.bindings.values() for n in macros_of(b.value)]
        while waiting:
            name = waiting.pop()
            if name in self.macros and name not in used:
                used[name] = self.macros[name]
                waiting += macros_of(self.macros[name].value)
        return used

    def parameters(self, called: Called) -> dict[str, Key]:
        """Returns the key in force for each parameter that a call has bound."""
        chosen: dict[str, Key] = {}
        for key in sorted(self._of[called.selector], key=lambda key: len(key.scopes)):
            if called.scope[: len(key.scopes)] == key.scopes:
                chosen[key.parameter] = key
        return chosen

    def references(self, key: Key) -> Iterator[Reference]:
        """Yields the references in a binding's value, macros replaced."""
        try:
            value = self.resolve(self.bindings[key].value)
        except ConfigError:  # reported by `check`
            return
        for item in iterate(value):
            if isinstance(item, Reference):
                yield item

    def called_by(self, called: Called) -> Iterator[tuple[Called, Key | None, bool]]:
        """Yields what a call refers to: (callee, key that refers to it, evaluated).

        The key is None where a default does.
        """
        bound = self.parameters(called)
        for key in bound.values():
            for reference in self.references(key):
                if found := known(reference.selector):
                    callee = Called(reference.scope or called.scope, found.selector)
                    yield callee, key, reference.evaluate
        for default in find(called.selector).calls:
            yield Called(called.scope, default.selector), None, False

    def reach(self, roots: Iterable[Called]) -> dict[Called, Key | None]:
        """Returns all that calls lead to, and the key that first refers to it."""
        found: dict[Called, Key | None] = dict.fromkeys(roots)
        waiting = list(found)
        while waiting:
            for callee, key, _ in self.called_by(waiting.pop(0)):
                if callee not in found:
                    found[callee] = key
                    waiting.append(callee)
        return found


def key_of(binding: Binding) -> Key:
    """Returns what a binding sets; an unknown configurable keeps its name."""
    found = known(binding.selector)
    selector = found.selector if found else binding.selector
    return Key(binding.scope, selector, binding.parameter)


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
    """Replaces macros by their values, except unknown ones.

    Raises:
      ConfigError: a macro is defined by itself.
    """

    def replaced(item: Any) -> Any:
        if not isinstance(item, Macro) or item.name not in macros:
            return item
        if item.name in inside:
            raise ConfigError(f"macro %{item.name} is defined by itself")
        return resolve(macros[item.name], macros, (*inside, item.name))

    return mapped(replaced, value)


def mapped(change: Callable[[Any], Any], value: Any) -> Any:
    """Returns a value with everything inside its lists, tuples and dicts changed."""
    if isinstance(value, list | tuple):
        return type(value)(mapped(change, item) for item in value)
    if isinstance(value, dict):
        return {mapped(change, k): mapped(change, v) for k, v in value.items()}
    return change(value)


def macros_of(value: Any) -> list[str]:
    """Returns the names of the macros in a value, gin's constants left out."""
    return [
        item.name
        for item in iterate(value)
        if isinstance(item, Macro) and not is_constant(item.name)
    ]
