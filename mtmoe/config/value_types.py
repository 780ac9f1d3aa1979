"""Whether a value of a gin file can be a parameter of an annotated type."""

from __future__ import annotations

import collections.abc
import inspect
import types
import typing
from collections.abc import Callable, Iterable
from typing import Any

from mtmoe.config.registry import known
from mtmoe.config.statements import Macro, Reference

_SEQUENCES = (
    list,
    tuple,
    set,
    frozenset,
    collections.abc.Sequence,
    collections.abc.Collection,
    collections.abc.Iterable,
    collections.abc.Set,
)
_MAPPINGS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)


def matches(annotation: Any, value: Any) -> bool:
    """Whether a value, macros replaced, can be a parameter of the annotated type.

    Where that is not known (a type of another library, a function without annotations)
    the value matches, and its receiver decides.

    Args:
      annotation: the type, resolved.
      value: a literal, with `Reference` inside; an undefined `Macro` matches.
    """
    if isinstance(value, Macro) or annotation in (Any, inspect.Parameter.empty):
        return True
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return matches(parts[0], value)
    if origin in (typing.Union, types.UnionType):
        return any(matches(part, value) for part in parts)
    if isinstance(value, Reference):
        return _reference_matches(annotation, value)
    if origin is typing.Literal:
        return any(value == part and type(value) is type(part) for part in parts)
    return _literal_matches(annotation, origin or annotation, parts, value)


def type_name(annotation: Any) -> str:
    """Returns a type as one writes it: `int | None`."""
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return type_name(parts[0])
    if origin in (typing.Union, types.UnionType):
        return " | ".join(map(type_name, parts))
    if annotation is type(None):
        return "None"
    if annotation is Ellipsis:
        return "..."
    if isinstance(annotation, list):
        return f"[{', '.join(map(type_name, annotation))}]"
    if origin is typing.Literal:
        return " | ".join(map(repr, parts))
    if origin is not None and parts:
        name = getattr(origin, "__name__", str(origin))
        return f"{name}[{', '.join(map(type_name, parts))}]"
    return getattr(annotation, "__name__", str(annotation))


def _literal_matches(
    annotation: Any, kind: Any, parts: tuple[Any, ...], value: Any
) -> bool:
    if annotation is None or annotation is type(None):
        return value is None
    if annotation is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if annotation is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind is tuple and parts and Ellipsis not in parts:
        return (
            isinstance(value, list | tuple)
            and len(value) == len(parts)
            and all(map(matches, parts, value))
        )
    if kind in _SEQUENCES:
        return isinstance(value, list | tuple) and _all_match(parts[:1], value)
    if kind in _MAPPINGS:
        return (
            isinstance(value, dict)
            and _all_match(parts[:1], value.keys())
            and _all_match(parts[1:], value.values())
        )
    if kind is collections.abc.Callable or kind is type:
        return False
    if inspect.isclass(kind):
        return _is_instance(value, kind)
    return True


def _all_match(annotation: tuple[Any, ...], values: Iterable[Any]) -> bool:
    return not annotation or all(matches(annotation[0], value) for value in values)


def _is_instance(value: Any, kind: type) -> bool:
    if getattr(kind, "_is_protocol", False):
        return False  # no literal has methods of ours
    try:
        return isinstance(value, kind)
    except TypeError:
        return True


def _reference_matches(annotation: Any, reference: Reference) -> bool:
    target = known(reference.selector)
    if target is None:  # reported by `check`
        return True
    if reference.evaluate:
        return _gives(target.returns, annotation)
    kind = typing.get_origin(annotation) or annotation
    if kind in (Callable, collections.abc.Callable):
        parts = typing.get_args(annotation)
        is_class = inspect.isclass(target.function)
        return not (is_class and parts) or _gives(target.function, parts[-1])
    if kind in (object, type) or not inspect.isclass(kind):
        return True
    return bool(
        getattr(kind, "_is_protocol", False) and "__call__" in _members_of(kind)
    )


def _gives(result: Any, annotation: Any) -> bool:
    """Whether what a call returns, by its type, can be of the annotated one."""
    if annotation in (Any, object, inspect.Parameter.empty) or result is Any:
        return True
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _gives(result, parts[0])
    if origin in (typing.Union, types.UnionType):
        return any(_gives(result, part) for part in parts)
    of, options = typing.get_origin(result), typing.get_args(result)
    if of in (typing.Union, types.UnionType):
        return any(_gives(option, annotation) for option in options)
    kind, given = origin or annotation, of or result
    if kind is typing.Literal:
        return any(_gives(given, type(part)) for part in parts)
    if given is collections.abc.Callable:
        return kind is given or not inspect.isclass(kind)
    if not inspect.isclass(given) or given is object:
        return True  # Any, a type variable: not known
    if kind is collections.abc.Callable:
        return _has_callable_instances(given)
    if not inspect.isclass(kind):
        return True
    if getattr(kind, "_is_protocol", False):
        fields = getattr(given, "__dataclass_fields__", {})
        return all(hasattr(given, n) or n in fields for n in _members_of(kind))
    if kind is float and given is int:
        return True
    try:
        return issubclass(given, kind)
    except TypeError:
        return True


def _has_callable_instances(kind: type) -> bool:
    return any("__call__" in vars(base) for base in kind.__mro__)


def _members_of(protocol: type) -> set[str]:
    """The names that a protocol asks for."""
    names: set[str] = set()
    for base in protocol.__mro__:
        if getattr(base, "_is_protocol", False) and base is not typing.Protocol:
            names |= {n for n in vars(base) if not n.startswith("_")}
            names |= set(vars(base).get("__annotations__", ()))
            names |= {"__call__"} & set(vars(base))
    return names
