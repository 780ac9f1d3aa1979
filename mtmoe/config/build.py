"""Calls what a config describes, one configurable after the other.

The innermost come first, so that all independent mistakes are found, each with the
place of its binding.
"""

from __future__ import annotations

import re
import traceback
from typing import Any

import gin

from mtmoe.config.check import Problems, place
from mtmoe.config.in_force import Called, InForce
from mtmoe.config.registry import find, known
from mtmoe.errors import MtmoeError, RangeError

_WORD = re.compile(r"\w+")
_SHOWN = 3  # places of bindings, where an error names none
_FROM_GIN = "\n  In call to configurable "


class Builder:
    """Builds configurables under gin's config in force."""

    def __init__(self, force: InForce, problems: Problems):
        """Takes the statements, and the problems that are known; adds to these."""
        self._force = force
        self._problems = problems
        self._sound: dict[Called, bool] = {}
        self._made: dict[Called, bool] = {}
        self._faulty = {
            found.selector
            for binding in problems.faulty
            if not binding.is_macro and (found := known(binding.selector))
        }

    def build(self, root: str) -> Any:
        """Returns what the configurable of a name makes; None if it cannot be made."""
        called = Called((), find(root).selector)
        return self._call(called) if self._is_ready(called) else None

    def attempt(self, what: str, call: Any, *keys: str) -> Any:
        """Returns what a call gives; None after an error, which it notes.

        Args:
          what: what is being done, for errors that do not say so.
          call: a function without arguments.
          *keys: bindings that decide it, "train.mixture".
        """
        try:
            return call()
        except Exception as error:  # of the user's code too: one line, no traceback
            self._note(error, what, keys)
            return None

    def places(self, *keys: str, only_own: bool = False) -> str:
        """Returns where bindings are set, in brackets behind a blank; "" if nowhere."""
        where = [
            place(binding, self._force.macros)
            for key, binding in self._force.bindings.items()
            if f"{key.selector}.{key.parameter}" in keys
            and (binding.own or not only_own)
        ]
        return f" ({', '.join(dict.fromkeys(where))})" if where else ""

    def _is_ready(self, called: Called) -> bool:
        """Whether a call has all it needs; makes its arguments first."""
        bound = self._force.parameters(called)
        complete = all(name in bound for name in find(called.selector).required)
        return self._makes_arguments(called) and complete

    def _makes_arguments(self, called: Called) -> bool:
        if called not in self._sound:
            self._sound[called] = True  # a ring of references ends here
            sound = called.selector not in self._faulty
            for callee, _, evaluated in self._force.called_by(called):
                make = self._makes if evaluated else self._makes_arguments
                sound = make(callee) and sound
            self._sound[called] = sound
        return self._sound[called]

    def _makes(self, called: Called) -> bool:
        if called not in self._made:
            self._made[called] = True
            ready = self._is_ready(called)
            self._made[called] = ready and self._call(called) is not None
        return self._made[called]

    def _call(self, called: Called) -> Any:
        def call() -> Any:
            with gin.config_scope(list(called.scope)):
                return gin.get_configurable(called.selector)()

        bound = self._force.parameters(called).values()
        keys = [f"{key.selector}.{key.parameter}" for key in bound]
        return self.attempt(f"{called.selector} cannot be made", call, *keys)

    def _note(self, error: Exception, what: str, keys: tuple[str, ...]) -> None:
        message = str(error).partition(_FROM_GIN)[0]
        if not isinstance(error, MtmoeError):
            frame = traceback.extract_tb(error.__traceback__)[-1]
            reason = (message.splitlines() or [""])[0]
            file = frame.filename.rsplit("/", 1)[-1]
            message = (
                f"{what}: {type(error).__name__}: {reason} [{file}:{frame.lineno}]"
            )
        named = [error.name] if isinstance(error, RangeError) else []
        words = set(_WORD.findall(message))
        named += [
            f"{key.selector}.{key.parameter}"
            for key in self._force.bindings
            if {key.parameter, *key.selector.split(".")} <= words
        ]
        # `MultiHeadAttention.num_heads` is set by `EncoderDecoder.num_heads`.
        alike = [key for key in keys if key.rsplit(".", 1)[-1] in words]
        where = (
            self.places(*named, *alike)
            or self.places(*keys, only_own=True)
            or self.places(*keys[:_SHOWN])
        )
        self._problems.add(message + where)
