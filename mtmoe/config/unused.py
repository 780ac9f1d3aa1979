"""Bindings that changed nothing: a wrong scope, or a configurable nobody called."""

from __future__ import annotations

import gin

from mtmoe.config.load import Config
from mtmoe.config.registry import find, runs_after_training
from mtmoe.config.statements import Binding, read_text
from mtmoe.errors import ConfigError


def check_all_used(config: Config) -> None:
    """Checks that what was bound has been read by now.

    Call it when everything a run builds has been built.

    Raises:
      ConfigError: a binding was never consumed. Gin would have ignored it.
    """
    consumed = [
        (_scopes(b.scope), find(b.selector).selector, b.parameter)
        for b in read_text(gin.operative_config_str(), "operative config")
        if isinstance(b, Binding) and not b.is_macro
    ]
    unused = []
    for key, place in config.places.items():
        scope_name, _, name = key.rpartition("/")
        selector, _, parameter = name.rpartition(".")
        if runs_after_training(selector):
            continue
        scopes = _scopes(scope_name)
        if not any(
            scope[: len(scopes)] == scopes and (called, read) == (selector, parameter)
            for scope, called, read in consumed
        ):
            unused.append(f"{key} ({place})")
    if unused:
        raise ConfigError(
            "these bindings have no effect on this run; remove them, or correct their "
            "scope:\n  " + "\n  ".join(unused)
        )


def _scopes(name: str) -> list[str]:
    return name.split("/") if name else []
