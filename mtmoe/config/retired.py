"""Parameters that earlier releases had, and what to write instead.

In a user's file or flag a retired parameter is an error with the advice given here. In
the `config.gin` of a model folder, which mtmoe itself wrote, it is ignored, so that a
run of an earlier release can go on, be evaluated and reported.
"""

from __future__ import annotations

from collections.abc import Iterable

from mtmoe.config.registry import known
from mtmoe.config.statements import Binding, Statement

RETIRED = {
    "train.jit_compile": "every step is compiled; remove the line",
    "Layout.devices": (
        "devices are found; a layout is mesh_shape and layout_rules; remove the line"
    ),
}
"""Configurable and parameter -> what replaced it."""


def advice(selector: str, parameter: str) -> str:
    """Returns what replaced a parameter; empty where it is not a retired one."""
    return RETIRED.get(f"{selector}.{parameter}", "")


def without_retired(statements: Iterable[Statement]) -> list[Statement]:
    """Returns the statements that bind no retired parameter, in order.

    The configurables must be registered: a name is compared as gin resolves it.
    """
    return [statement for statement in statements if not _is_retired(statement)]


def _is_retired(statement: Statement) -> bool:
    if not isinstance(statement, Binding) or statement.is_macro:
        return False
    configurable = known(statement.selector)
    if configurable is None:  # of another release; reported elsewhere
        return False
    return (
        statement.parameter not in configurable.parameters
        and advice(configurable.selector, statement.parameter) != ""
    )
