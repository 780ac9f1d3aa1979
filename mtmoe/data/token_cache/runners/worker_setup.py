"""Brings another process to where this one is: the same tasks, the same configuration.

Nothing here imports TensorFlow by itself, so that a worker can prepare before it does.
"""

from __future__ import annotations

import dataclasses
import importlib
import sys
import threading
from collections.abc import Iterator
from typing import Any

import gin

from mtmoe.startup.importing import import_tensorflow

_lock = threading.Lock()
_in_force: WorkerSetup | None = None


@dataclasses.dataclass(frozen=True)
class WorkerSetup:
    """What a worker needs before it can run a job; plain data.

    Attributes:
      task_modules: dotted names of the modules that register the tasks.
      configured_modules: those that define what `gin_config` names.
      gin_config: the configuration as one gin file.
    """

    task_modules: tuple[str, ...]
    configured_modules: tuple[str, ...]
    gin_config: str

    @classmethod
    def of_this_process(cls, gin_config: str | None = None) -> WorkerSetup:
        """Returns what is in force here.

        Args:
          gin_config: the configuration in force as text, where it is at hand; it may
            import modules, which gin itself does not remember.
        """
        from mtmoe.data.tasks.registry import task_modules_imported

        global _in_force
        if gin_config is None:
            gin_config = gin.config_str()
        setup = cls(
            task_modules_imported(),
            tuple(sorted(set(_modules_in_force()) - {"__main__"})),
            gin_config,
        )
        with _lock:
            _in_force = setup
        return setup

    def apply(self) -> None:
        """Puts it in force in this process, unless it is.

        Raises:
          ConfigError: a task module does not exist here.
          ImportError: another module does not.
          ValueError: the configuration names what does not exist here.
        """
        global _in_force
        with _lock:
            if self == _in_force:
                return
            import_tensorflow()
            from mtmoe.data.tasks.registry import register

            register(self.task_modules)
            for name in self.configured_modules:
                if name not in sys.modules:
                    importlib.import_module(name)
            with gin.unlock_config():
                gin.clear_config()
                gin.parse_config(self.gin_config)
            _in_force = self


def _modules_in_force() -> Iterator[str]:
    """Yields the modules of all that the configuration in force names."""
    functions: list[Any] = [
        gin.config._REGISTRY[selector].wrapped for _, selector in gin.config._CONFIG
    ]
    functions += [
        reference.configurable.wrapped
        for reference in gin.config.iterate_references(gin.config._CONFIG)
    ]
    yield from (function.__module__ for function in functions)
