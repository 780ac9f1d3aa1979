"""Rows of tokens of different lengths in one flat array.

Legend: R rows, W width.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Int32Array = npt.NDArray[np.int32]
Int64Array = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TokenRows:
    """R rows of tokens.

    Attributes:
      tokens: int32, all rows behind each other.
      bounds: int64 [R + 1]; row r is `tokens[bounds[r]:bounds[r + 1]]`.
    """

    tokens: Int32Array
    bounds: Int64Array

    def __len__(self) -> int:
        """Returns the number of rows."""
        return len(self.bounds) - 1

    def padded(self, width: int) -> Int32Array:
        """Returns the rows padded with 0 to `width`, int32 [R, W].

        Raises:
          ValueError: a row is wider.
        """
        sizes_R = np.diff(self.bounds)
        if np.any(sizes_R > width):
            raise ValueError(f"a row of {sizes_R.max()} tokens is wider than {width}")
        padded_RW = np.zeros((len(self), width), np.int32)
        padded_RW[np.arange(width) < sizes_R[:, None]] = self.tokens
        return padded_RW


def padded_sizes(padded_RW: Int32Array) -> Int64Array:
    """Returns how many tokens each row has of those that `TokenRows.padded` made.

    All up to the last that is not 0: token 0 before another is a token like any other.

    Args:
      padded_RW: int32 [..., W].

    Returns:
      int64 [...].
    """
    places_W = np.arange(1, padded_RW.shape[-1] + 1)
    return np.max(np.where(padded_RW != 0, places_W, 0), axis=-1, initial=0)


def join_rows(rows: Iterable[npt.ArrayLike]) -> TokenRows:
    """Makes one `TokenRows` of many one-dimensional arrays of tokens."""
    arrays = [np.asarray(row, np.int32) for row in rows]
    bounds = row_bounds([len(array) for array in arrays])
    return TokenRows(np.concatenate([np.zeros(0, np.int32), *arrays]), bounds)


def row_bounds(sizes_R: npt.ArrayLike) -> Int64Array:
    """Returns int64 [R + 1], the bounds of rows of these sizes behind each other."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes_R, dtype=np.int64)])


def cut_rows(tokens: Int32Array, length: int, min_tail: int) -> TokenRows:
    """Cuts a stream of tokens into rows of `length`.

    Args:
      tokens: int32, at least one.
      length: tokens of every row but the last.
      min_tail: a shorter last row is kept if it has that many tokens, or is the only
        row; otherwise its tokens are left out.

    Returns:
      At least one row.
    """
    num_full, tail = divmod(len(tokens), length)
    bounds = np.arange(num_full + 1, dtype=np.int64) * length
    if tail and (tail >= min_tail or num_full == 0):
        bounds = np.append(bounds, len(tokens))
    return TokenRows(tokens[: bounds[-1]], bounds)


def stack_rows(parts: Sequence[TokenRows]) -> TokenRows:
    """Puts the rows of several `TokenRows` behind each other."""
    ends = np.cumsum([len(part.tokens) for part in parts])
    bounds = [
        part.bounds[1:] + end - len(part.tokens)
        for part, end in zip(parts, ends, strict=True)
    ]
    return TokenRows(
        np.concatenate([part.tokens for part in parts]),
        np.concatenate([np.zeros(1, np.int64), *bounds]),
    )
