"""Tasks that are registered when somebody asks for them, by what is on this machine.

A task module registers the same tasks everywhere and touches no file. What tasks there
are may also depend on a folder of the user's: then the module names a function that
looks there, and it is called when a name that begins with its prefix is looked up.
"""

from __future__ import annotations

from collections.abc import Callable

_REGISTER: dict[str, Callable[[], None]] = {}


def register_when_asked(prefix: str, register: Callable[[], None]) -> None:
    """Has a function called whenever `PREFIX` or `PREFIX.anything` is looked up.

    Args:
      prefix: the first part of the names, up to a dot.
      register: registers tasks and mixtures, those that are not registered yet; raises
        MtmoeError if the user has given no folder, or it cannot be used.
    """
    _REGISTER[prefix] = register


def register_found(name: str) -> None:
    """Registers what a name may stand for, if its prefix is known.

    Raises:
      MtmoeError: see `register_when_asked`.
    """
    register = _REGISTER.get(name.partition(".")[0])
    if register is not None:
        register()


def prefixes() -> tuple[str, ...]:
    """Returns the prefixes that functions are known for."""
    return tuple(_REGISTER)
