"""How far a reader has come in a file: by this a sample stands for the whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class ReadSoFar:
    """Is given to a reader, which then tells how far it has come.

    Attributes:
      fraction: function that returns the share of the file that has been read, in its
        own bytes or rows; 0 before the reader begins.
    """

    fraction: Callable[[], float] = float
