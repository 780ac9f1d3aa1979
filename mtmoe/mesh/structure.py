"""Values that are made of values: tuples, lists, mappings and dataclasses of anything.

One way to find all tensors of a loop's state, or all experts of a model, and one to put
others in their place, so that no class has to list its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

T = TypeVar("T")
Whole = TypeVar("Whole")


def find_all(structure: Any, kind: type[T]) -> Iterator[T]:
    """Yields all parts of a kind, in order; a part's own parts are not looked at."""
    if isinstance(structure, kind):
        yield structure
        return
    for part in _parts(structure):
        yield from find_all(part, kind)


def replace_all(structure: Whole, kind: type[T], change: Callable[[T], Any]) -> Whole:
    """Returns the structure with `change(part)` for every part that `find_all` yields.

    Args:
      structure: any value; what is no tuple, list, mapping or dataclass has no parts.
      kind: the class of the parts.
      change: called once for every part, in order.
    """
    return _replaced(structure, kind, change)


def _replaced(structure: Any, kind: type[T], change: Callable[[T], Any]) -> Any:
    if isinstance(structure, kind):
        return change(structure)
    if isinstance(structure, Mapping):
        return {name: _replaced(x, kind, change) for name, x in structure.items()}
    if isinstance(structure, (list, tuple)):
        parts = [_replaced(x, kind, change) for x in structure]
        if all(new is old for new, old in zip(parts, structure, strict=True)):
            return structure
        if hasattr(structure, "_fields"):  # a named tuple
            return type(structure)(*parts)
        return type(structure)(parts)
    if _is_dataclass(structure):
        old = {f.name: getattr(structure, f.name) for f in _fields(structure)}
        new = {name: _replaced(x, kind, change) for name, x in old.items()}
        if all(new[name] is old[name] for name in old):
            return structure
        return dataclasses.replace(structure, **new)
    return structure


def _parts(structure: Any) -> Iterable[Any]:
    if isinstance(structure, Mapping):
        return structure.values()
    if isinstance(structure, (list, tuple)):
        return structure
    if _is_dataclass(structure):
        return [getattr(structure, field.name) for field in _fields(structure)]
    return ()


def _is_dataclass(structure: Any) -> bool:
    return dataclasses.is_dataclass(structure) and not isinstance(structure, type)


def _fields(structure: Any) -> list[dataclasses.Field[Any]]:
    return [field for field in dataclasses.fields(structure) if field.init]
