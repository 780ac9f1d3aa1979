"""Which rows of the global batch a process builds, and which of them it counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mtmoe.data.ground.token_rows import Int64Array
from mtmoe.errors import ConfigError


class BuiltRows(NamedTuple):
    """Which rows of the global batch are built here.

    Attributes:
      num_rows: how many.
      places: int64 [batch_size], the place of each row of the batch; -1: not here.
      counted: bool [num_rows], which of them are counted here; None: all.
    """

    num_rows: int
    places: Int64Array
    counted: npt.NDArray[np.bool_] | None

    @classmethod
    def of(
        cls,
        batch_size: int,
        rows: Sequence[int] | Int64Array,
        counted: Sequence[int] | Int64Array | None = None,
    ) -> BuiltRows:
        """Checks the numbers.

        Raises:
          ConfigError: no row, one that is not of the batch, numbers that do not
            increase, or a row that is counted and not built.
        """
        numbers = np.asarray(rows, np.int64)
        if not len(numbers):
            raise ConfigError(
                f"no row of the batch of {batch_size} is asked for; needed: 1 or more"
            )
        outside = numbers[(numbers < 0) | (numbers >= batch_size)]
        if len(outside):
            raise ConfigError(
                f"row {outside[0]} is asked for; a batch of {batch_size} has rows 0 to "
                f"{batch_size - 1}"
            )
        if np.any(np.diff(numbers) <= 0):
            raise ConfigError(
                f"rows {numbers.tolist()} are asked for; needed: increasing numbers"
            )
        places = np.full(batch_size, -1, np.int64)
        places[numbers] = np.arange(len(numbers))
        if counted is None:
            return cls(len(numbers), places, None)
        if missing := sorted(set(counted) - set(numbers.tolist())):
            raise ConfigError(
                f"rows {missing} are to be counted, but are not among those asked for"
            )
        mask = np.isin(numbers, np.asarray(counted, np.int64))
        return cls(len(numbers), places, None if mask.all() else mask)
