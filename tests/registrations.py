"""Takes away what a test has registered, and nothing else."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator

import seqio

from mtmoe.data.tasks.registry import BUILT_IN_TASK_MODULES


@contextlib.contextmanager
def undone() -> Iterator[None]:
    """Removes the tasks and mixtures that are registered inside.

    The product's own are registered before: a module that is imported inside for the
    first time would not register them again for a later test.
    """
    for module in BUILT_IN_TASK_MODULES:
        importlib.import_module(module)
    before = seqio.TaskRegistry.names() | seqio.MixtureRegistry.names()
    try:
        yield
    finally:
        for registry in (seqio.TaskRegistry, seqio.MixtureRegistry):
            for name in set(registry.names()) - before:
                registry.remove(name)
