"""How rows of the token cache become examples, many at once.

Rows of any tasks that have equal recipes are made together, by a few numpy calls.

Legend: N rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mtmoe.data.ground.token_rows import TokenRows, stack_rows
from mtmoe.data.objectives.objective import TokenObjective

BoolArray = npt.NDArray[np.bool_]
Int32Array = npt.NDArray[np.int32]
Int64Array = npt.NDArray[np.int64]
UInt64Array = npt.NDArray[np.uint64]


class RawRows(NamedTuple):
    """Rows as the cache holds them.

    Attributes:
      features: of text the raw tokens; of examples inputs and targets without EOS.
      bad: bool [N], rows that are empty because their record is damaged.
    """

    features: tuple[TokenRows, ...]
    bad: BoolArray


class Examples(NamedTuple):
    """Finished examples, EOS included.

    Attributes:
      inputs: inputs of each example.
      targets: targets of each example.
      bad: bool [N], examples without tokens because their record is damaged.
    """

    inputs: TokenRows
    targets: TokenRows
    bad: BoolArray


@dataclass(frozen=True)
class TextRecipe:
    """How raw tokens become examples; equal recipes make rows together.

    Attributes:
      objective: makes inputs and targets of raw tokens.
      raw_length: raw tokens of a full row.
      vocab_size: size of the vocabulary.
      eos: token behind inputs and behind targets; None: there is none.
    """

    objective: TokenObjective
    raw_length: int
    vocab_size: int
    eos: tuple[int | None, int | None]

    def sizes(self, raw_sizes_N: Int64Array, keys_N: UInt64Array) -> Int32Array:
        """Returns the sizes `make` gives to rows of some raw sizes, int32 [N, 2]."""
        sizes = self.objective.sizes(raw_sizes_N, keys_N)
        ended = [
            size_N + (end is not None)
            for size_N, end in zip(sizes, self.eos, strict=True)
        ]
        return np.stack(ended, axis=1).astype(np.int32)

    def make(self, raw: RawRows, keys_N: UInt64Array) -> Examples:
        """Makes examples of rows, noise keyed by `keys_N`."""
        inputs, targets = self.objective.corrupt(
            raw.features[0], keys_N, self.vocab_size
        )
        good_N = ~raw.bad
        return Examples(
            _ended(inputs, np.diff(inputs.bounds), good_N, self.eos[0]),
            _ended(targets, np.diff(targets.bounds), good_N, self.eos[1]),
            raw.bad,
        )


@dataclass(frozen=True)
class ExampleRecipe:
    """How cached examples become those of a batch: trimmed, and EOS put behind.

    Attributes:
      inputs_length: most tokens of the inputs; None: inputs and targets share
        `targets_length`, as a decoder alone has them. Each may have half of it, and
        what the other leaves.
      targets_length: most tokens of the targets.
      eos: token behind inputs and behind targets; None: there is none.
      eos_after_trim: whether a trimmed example has its EOS too
        (`append_eos_after_trim`), or loses it (`append_eos`).
    """

    inputs_length: int | None
    targets_length: int
    eos: tuple[int | None, int | None]
    eos_after_trim: bool

    def sizes(self, raw_sizes_N2: Int32Array) -> Int32Array:
        """Returns the sizes `make` gives to examples of some sizes, int32 [N, 2]."""
        whole_N2 = raw_sizes_N2 + [end is not None for end in self.eos]
        if self.inputs_length is not None:
            limits = (self.inputs_length, self.targets_length)
            return np.minimum(whole_N2, limits).astype(np.int32)
        half = self.targets_length // 2
        room_N = np.maximum(self.targets_length - whole_N2[:, 0], half)
        targets_N = np.minimum(whole_N2[:, 1], room_N)
        inputs_N = np.minimum(whole_N2[:, 0], self.targets_length - targets_N)
        return np.stack([inputs_N, targets_N], axis=1).astype(np.int32)

    def make(self, raw: RawRows, keys_N: UInt64Array) -> Examples:
        """Makes examples of cached ones; the keys play no part."""
        del keys_N
        good_N = ~raw.bad
        raw_sizes_N2 = np.stack([np.diff(rows.bounds) for rows in raw.features], axis=1)
        sizes_N2 = self.sizes(raw_sizes_N2.astype(np.int32))
        finished = []
        for rows, raw_N, size_N, end in zip(
            raw.features, raw_sizes_N2.T, sizes_N2.T, self.eos, strict=True
        ):
            has_end = end is not None
            ended_N = good_N & (has_end & (self.eos_after_trim | (size_N > raw_N)))
            kept_N = np.where(good_N, size_N - ended_N, 0)
            finished.append(_ended(rows, kept_N, ended_N, end))
        return Examples(finished[0], finished[1], raw.bad)


Recipe = TextRecipe | ExampleRecipe


def stack_raw_rows(parts: Sequence[RawRows]) -> RawRows:
    """Puts rows of several tasks with the same recipe behind each other."""
    if len(parts) == 1:
        return parts[0]
    features = zip(*(part.features for part in parts), strict=True)
    return RawRows(
        tuple(stack_rows(rows) for rows in features),
        np.concatenate([part.bad for part in parts]),
    )


def _ended(
    rows: TokenRows, kept_N: Int64Array, ended_N: BoolArray, eos: int | None
) -> TokenRows:
    """Keeps the beginnings of rows, and puts EOS behind those that are to be ended.

    Args:
      rows: N rows.
      kept_N: tokens to keep of each.
      ended_N: rows that EOS is put behind.
      eos: the token; None: none of them.
    """
    if eos is None:
        ended_N = np.zeros_like(ended_N)
    kept_bounds = _bounds(kept_N)
    bounds = _bounds(kept_N + ended_N)
    number = np.arange(kept_bounds[-1])
    tokens = np.empty(bounds[-1], np.int32)
    from_N = rows.bounds[:-1] - kept_bounds[:-1]
    to_N = bounds[:-1] - kept_bounds[:-1]
    tokens[number + np.repeat(to_N, kept_N)] = rows.tokens[
        number + np.repeat(from_N, kept_N)
    ]
    tokens[bounds[1:][ended_N] - 1] = 0 if eos is None else eos
    return TokenRows(tokens, bounds)


def _bounds(sizes_N: Int64Array) -> Int64Array:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes_N, dtype=np.int64)])
