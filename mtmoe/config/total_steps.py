"""One number says how long a run is: `train.steps`.

A schedule that ends has a parameter `total_steps`. It is `train.steps` unless it is
given, and then the two must be equal: a schedule that ends before its run trains the
rest of it at a rate of zero.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mtmoe.config.check import place
from mtmoe.config.in_force import Called, InForce, Key
from mtmoe.config.registry import find, known
from mtmoe.config.statements import Binding
from mtmoe.errors import ConfigError

_STEPS = Key("", "train", "steps")
_SCHEDULE = Key("", "train", "schedule")
_PARAMETER = "total_steps"


def following(statements: Sequence[Binding]) -> list[Binding]:
    """Returns the bindings of `total_steps` that follow from `train.steps`."""
    force = InForce(statements)
    steps = force.bindings.get(_STEPS)
    value = None if steps is None else _resolved(force, steps)
    if steps is None or not isinstance(value, int) or value < 1:
        return []
    return [
        Binding(
            scope="",
            selector=schedule.selector,
            parameter=_PARAMETER,
            value=value,
            where=f"follows train.steps, {steps.where}",
            own=False,
        )
        for schedule in _ending_schedules(force)
        if _PARAMETER not in force.parameters(schedule)
    ]


def disagreements(statements: Sequence[Binding]) -> list[str]:
    """Returns a message for each `total_steps` that is not `train.steps`."""
    force = InForce(statements)
    if _STEPS not in force.bindings:
        return []
    steps = force.bindings[_STEPS]
    wanted = force.resolve(steps.value)
    messages = []
    for schedule in _ending_schedules(force):
        key = force.parameters(schedule).get(_PARAMETER)
        if key is None or force.resolve(force.bindings[key].value) == wanted:
            continue
        given = force.bindings[key]
        messages.append(
            f"{key} is {force.resolve(given.value)!r} "
            f"({place(given, force.macros)}), but train.steps is {wanted!r} "
            f"({place(steps, force.macros)}); leave {key} out, and it follows "
            "train.steps"
        )
    return messages


def _resolved(force: InForce, binding: Binding) -> Any:
    """A binding's value, macros replaced; None for one that `check` reports."""
    try:
        return force.resolve(binding.value)
    except ConfigError:
        return None


def _ending_schedules(force: InForce) -> Iterator[Called]:
    """Yields the schedules of the run that have a `total_steps`."""
    if _SCHEDULE not in force.bindings:
        return
    roots = [
        Called(reference.scope, found.selector)
        for reference in force.references(_SCHEDULE)
        if (found := known(reference.selector))  # if not, `check` reports it
    ]
    for called in force.reach(roots):
        if _PARAMETER in find(called.selector).parameters:
            yield called
