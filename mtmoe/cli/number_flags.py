"""Flags that take a number of a range."""

from __future__ import annotations

import math
from typing import Any

from absl import flags

from mtmoe.ranges import Range, range_of


class _RangeParser(flags.ArgumentParser):  # type: ignore[misc]
    """Reads a number; absl's own bounds let NaN through."""

    def __init__(self, allowed: Range):
        self._allowed = allowed
        self.syntactic_help = str(allowed)

    def parse(self, argument: Any) -> int | float:
        """Returns the number.

        Raises:
          ValueError: it is none, or is out of range.
        """
        try:
            number = int(argument) if self._allowed.whole else float(argument)
        except (TypeError, ValueError):
            number = math.nan
        if number not in self._allowed:
            raise ValueError(f"it must be {self._allowed}")
        return number

    def flag_type(self) -> str:
        """Returns what the flag's help calls its type."""
        return "int" if self._allowed.whole else "float"


def define_number(name: str, default: float | None, text: str, annotation: Any) -> None:
    """Defines a flag for a number of a type of `mtmoe.ranges`, such as `Count`."""
    parser = _RangeParser(range_of(annotation))
    flags.DEFINE(parser, name, default, text)
