"""Every binding in force: where it was set, what it overrode, what it means."""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection, Sequence

from mtmoe.config.in_force import InForce, Key
from mtmoe.config.registry import Configurable, find
from mtmoe.config.statements import Binding

_SECTION = re.compile(r"^\s*(Args|Attributes):\s*$")


def explanation(statements: Sequence[Binding], idle: Collection[Key] = ()) -> str:
    """Returns the bindings in force and the macros in words, and which are `idle`."""
    force = InForce(statements)
    blocks = [_macro(name, force) for name in force.macros]
    keys = sorted(force.bindings, key=lambda key: (key.selector.lower(), key))
    blocks += [_binding(key, force, key in idle) for key in keys]
    return "\n".join(blocks)


def meaning(configurable: Configurable, parameter: str) -> str:
    """Returns what a Google-style docstring says about a parameter; "" if nothing."""
    function = configurable.function
    documented = function.__mro__ if inspect.isclass(function) else [function]
    for owner in documented:
        texts = [owner.__doc__]
        if inspect.isclass(owner) and "__init__" in vars(owner):
            texts.append(owner.__init__.__doc__)
        for text in filter(None, texts):
            if found := _entries(inspect.cleandoc(text)).get(parameter):
                return found
    return ""


def _entries(docstring: str) -> dict[str, str]:
    """Returns what Google's `Args:` and `Attributes:` say, by name."""
    entries: dict[str, str] = {}
    name, indent, inside = "", 0, False
    for line in docstring.splitlines():
        if _SECTION.match(line):
            inside, name, indent = True, "", 0
            continue
        depth = len(line) - len(line.lstrip())
        if line.strip() and not depth:
            inside = False
        if not inside or not line.strip():
            continue
        indent = indent or depth
        if depth == indent:
            name, _, text = line.strip().partition(": ")
            name = name.lstrip("*").split(" ")[0]
            entries[name] = text
        elif name:
            entries[name] += " " + line.strip()
    return entries


def _macro(name: str, force: InForce) -> str:
    binding = force.macros[name]
    return f"{name} = {binding.value!r}\n    a macro, set at {_place(binding)}\n"


def _binding(key: Key, force: InForce, is_idle: bool) -> str:
    binding = force.bindings[key]
    configurable = find(key.selector)
    value = repr(binding.value)
    resolved = repr(force.resolve(binding.value))
    lines = [f"{key} = {value}" + (f", {resolved}" if resolved != value else "")]
    if text := meaning(configurable, key.parameter):
        lines.append(text)
    lines.append(f"set at {_place(binding)}; {_default(configurable, key.parameter)}")
    for earlier in reversed(force.overridden[key]):
        lines.append(f"overrides {earlier.value!r}, {_place(earlier)}")
    if is_idle:
        lines.append("switched off: nothing in this run reads it")
    return "\n    ".join(lines) + "\n"


def _default(configurable: Configurable, parameter: str) -> str:
    known = configurable.parameters.get(parameter)
    if known is None or parameter in configurable.required:
        return "no default"
    default = known.default
    field = getattr(configurable.function, "__dataclass_fields__", {}).get(parameter)
    factory = getattr(getattr(field, "default_factory", None), "__name__", "")
    if factory:
        return f"default {factory}()"
    if inspect.isfunction(default) or inspect.isclass(default):
        return f"default @{default.__name__}"
    return f"default {default!r}"


def _place(binding: Binding) -> str:
    """Where a statement stands, and by which includes its file came."""
    chain = "".join(f", included at {where}" for where in reversed(binding.included_by))
    return binding.where + chain
