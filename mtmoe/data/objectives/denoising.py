"""Inputs and targets of rows of tokens of which some are noise, as T5 writes them.

Legend: N rows, M tokens of all rows.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mtmoe.data.ground.token_rows import TokenRows

BoolArray = npt.NDArray[np.bool_]
Int64Array = npt.NDArray[np.int64]


def spans_to_sentinels(
    rows: TokenRows, noise_M: BoolArray, vocab_size: int
) -> TokenRows:
    """Puts one sentinel in the place of each run of noise.

    Sentinels count down from `vocab_size - 1` in each row: t5's
    `noise_span_to_unique_sentinel`, of all rows at once. With the mask inverted it is
    `nonnoise_span_to_unique_sentinel`.

    Args:
      rows: N rows, M tokens together.
      noise_M: which tokens are noise.
      vocab_size: size of the vocabulary, sentinels included.

    Returns:
      N rows.
    """
    goes_on_M = np.zeros_like(noise_M)
    np.logical_and(noise_M[1:], noise_M[:-1], out=goes_on_M[1:])
    goes_on_M[row_starts(rows)] = False
    begins = np.flatnonzero(noise_M & ~goes_on_M)
    runs_before_N = np.searchsorted(begins, rows.bounds)
    run_of_row = np.arange(len(begins)) - np.repeat(
        runs_before_N[:-1], np.diff(runs_before_N)
    )
    tokens_M = rows.tokens.copy()
    tokens_M[begins] = vocab_size - 1 - run_of_row
    return keep(TokenRows(tokens_M, rows.bounds), ~goes_on_M)


def keep(rows: TokenRows, kept_M: BoolArray) -> TokenRows:
    """Returns rows of the tokens where the mask is true."""
    places = np.flatnonzero(kept_M)
    return TokenRows(rows.tokens[places], np.searchsorted(places, rows.bounds))


def row_starts(rows: TokenRows) -> Int64Array:
    """Returns where the rows that have tokens begin."""
    return rows.bounds[:-1][np.diff(rows.bounds) > 0]
