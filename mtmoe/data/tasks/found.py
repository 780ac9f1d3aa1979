"""Tasks that are registered when somebody asks for them, by what is on this machine.

A task module registers the same tasks everywhere and touches no file. What tasks there
are may also depend on a folder of the user's: then the module names a function that
looks there, and it is called when a name that begins with its prefix is looked up.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from mtmoe.errors import MtmoeError

_REGISTER: dict[str, Callable[[str], None]] = {}


def register_when_asked(prefix: str, register: Callable[[str], None]) -> None:
    """Has a function called whenever `PREFIX` or `PREFIX.anything` is looked up.

    Args:
      prefix: the first part of the names, up to a dot.
      register: takes the name, or "" if all tasks are wanted; registers tasks and
        mixtures, those that are not registered yet. It raises MtmoeError if what the
        user has given cannot be used, and for a name also if nothing is given.
    """
    _REGISTER[prefix] = register


def register_found(name: str) -> None:
    """Registers what a name may stand for, if its prefix is known.

    Raises:
      MtmoeError: see `register_when_asked`.
    """
    register = _REGISTER.get(name.partition(".")[0])
    if register is not None:
        register(name)


def register_all_found() -> None:
    """Registers all there is, for lists; a line on stderr says what cannot be used."""
    for prefix, register in _REGISTER.items():
        try:
            register("")
        except MtmoeError as error:
            print(f"mtmoe: tasks {prefix}.* are not listed: {error}", file=sys.stderr)


CALLS_REGISTERING = tuple(
    (function.__module__, function.__name__)
    for function in (register_found, register_all_found)
)
"""Module and name of the functions whose callees register tasks."""
