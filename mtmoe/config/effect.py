"""Bindings that change nothing: a wrong scope, or a configurable that is not called.

A binding that the user wrote for this run must have an effect. Those of an included
file, or of one of mtmoe's, that something later switched off are listed.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Sequence

import gin

from mtmoe.config.in_force import Called, InForce, Key
from mtmoe.config.registry import find, runs_after_training
from mtmoe.config.statements import Binding
from mtmoe.errors import did_you_mean


@dataclasses.dataclass(frozen=True)
class Idle:
    """A binding in force without effect, and why nothing reads it."""

    key: Key
    binding: Binding
    reason: str

    def __str__(self) -> str:
        """Returns it as an error shows it."""
        return f"{self.key} has no effect: {self.reason} ({self.binding.where})"


def idle_bindings(
    force: InForce, called: Iterable[Called], trusted: Iterable[str] = ()
) -> list[Idle]:
    """Returns the bindings that nothing has read and nothing will read.

    Args:
      force: the config.
      called: what the run calls, besides what gin has seen called so far.
      trusted: configurables, by their shortest names, that may be called when data is
        read: their bindings count as read.
    """
    operative = {
        (tuple(filter(None, scope.split("/"))), find(selector).selector): set(read)
        for (scope, selector), read in gin.config._OPERATIVE_CONFIG.items()
        if selector != "gin.macro"
    }
    after_training = [
        Called(key.scopes, key.selector)
        for key in force.bindings
        if runs_after_training(key.selector)
    ]
    reached = {*force.reach([*called, *after_training])}
    reached |= {Called(scope, selector) for scope, selector in operative}
    read = set()
    for call in reached:
        seen = operative.get((call.scope, call.selector))
        for parameter, key in force.parameters(call).items():
            if seen is None or parameter in seen:
                read.add(key)
    scopes = {"/".join(call.scope) for call in reached if call.scope}
    in_scopes = {call.selector for call in reached}
    trusted = set(trusted)
    return [
        Idle(key, binding, _reason(key, key.selector in in_scopes, scopes))
        for key, binding in force.bindings.items()
        if key not in read and key.selector not in trusted
    ]


def sorted_by_owner(idle: Sequence[Idle]) -> tuple[list[str], list[str]]:
    """Returns the errors about what is the user's own, and notices about the rest."""
    errors = [str(one) for one in idle if one.binding.own]
    counts = Counter(one.key.selector for one in idle if not one.binding.own)
    if not counts:
        return errors, []
    listed = ", ".join(f"{name} ({count})" for name, count in sorted(counts.items()))
    return errors, [
        f"switched off, bindings of included files: {listed}; `mtmoe explain` has each"
    ]


def files_without_effect(force: InForce, idle: Sequence[Idle]) -> list[str]:
    """Returns a notice for each file named by a flag that later files override whole.

    Another order was probably meant.
    """
    unread = {one.key for one in idle}
    useful: dict[str, bool] = {}
    overridden_by: dict[str, str] = {}
    for key, final in force.bindings.items():
        for binding in (*force.overridden[key], final):
            useful.setdefault(_named(binding), False)
            if binding is final and key not in unread:
                useful[_named(binding)] = True
            elif repr(binding.value) != repr(final.value):
                overridden_by.setdefault(_named(binding), _named(final))
    return [
        f"{name} has no effect: {overridden_by[name]} sets the same things again; name "
        f"{name} after it if it is to count"
        for name, is_useful in useful.items()
        if name and not is_useful and name in overridden_by
    ]


def _named(binding: Binding) -> str:
    """The file that a flag names and a binding came with; "" for a flag's own."""
    if not binding.included_by:
        return binding.file
    return binding.included_by[0].rpartition(":")[0]


def _reason(key: Key, is_called: bool, scopes: set[str]) -> str:
    if not is_called:
        return f"nothing in this run calls {key.selector}"
    if not key.scope:
        return f"every call of {key.selector} has another value for it"
    hint = did_you_mean(key.scope, scopes, count=2)
    return f"nothing calls {key.selector} in the scope {key.scope!r}{hint}"
