"""How to start Python again with one of our modules, as it runs here."""

from __future__ import annotations

import os
import sys


def command(module: str) -> list[str]:
    """Returns what to start for a module's `__main__`."""
    return [sys.executable, "-m", module]


def environment() -> dict[str, str]:
    """Returns the environment in which it imports from where this process does.

    By default Python would search the working directory first.
    """
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(folder or os.getcwd() for folder in sys.path),
        "PYTHONSAFEPATH": "1",
    }
