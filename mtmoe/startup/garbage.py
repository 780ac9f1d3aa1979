"""Python's garbage collector, kept quiet while graphs grow and libraries load."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Suspends the search for circles of garbage.

    Nothing in a graph is garbage before it is whole, nor what imports make, and looking
    at all of it again and again takes as long as building it.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
