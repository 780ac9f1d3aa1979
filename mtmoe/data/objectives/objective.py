"""What a token objective is: it makes examples of stretches of raw tokens.

Legend: N rows.
"""

from __future__ import annotations

from dataclasses import field
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from mtmoe.data.ground.token_rows import TokenRows
from mtmoe.errors import ConfigError

Int32Array = npt.NDArray[np.int32]
UInt64Array = npt.NDArray[np.uint64]


@runtime_checkable
class TokenObjective(Protocol):
    """A hashable SeqIO preprocessor that can also be applied to many rows at once.

    The last steps of a task are a token objective and `seqio.preprocessors.append_eos`;
    everything before them yields raw tokens under `targets` and is run only once.

    What a row becomes is a function of its tokens, its key and the size of the
    vocabulary, never of its neighbours.
    """

    def __hash__(self) -> int:
        """Rows of equal objectives are made together."""

    def lengths(
        self, inputs_length: int | None, targets_length: int | None = None
    ) -> tuple[int, int]:
        """Returns (raw tokens of a full row, the most places its targets take).

        EOS is counted on both sides.

        Args:
          inputs_length: places for inputs in a batch. None for a decoder alone, where
            inputs without EOS, targets and one EOS share `targets_length` places; the
            second number is then how many of them a full row takes.
          targets_length: places for targets; it decides where there are no inputs to
            fill, and plays no part otherwise.

        Raises:
          ConfigError: the lengths do not hold a row of one token, or the one that
            decides is missing.
        """

    def num_sentinels(self, raw_length: int) -> int:
        """Returns how many sentinels a row of `raw_length` tokens needs."""

    def sizes(
        self, raw_sizes_N: npt.ArrayLike, keys_N: UInt64Array
    ) -> tuple[Int32Array, Int32Array]:
        """Returns the sizes of what `corrupt` makes, without making it.

        Args:
          raw_sizes_N: tokens of each row, 0 and more.
          keys_N: uint64 [N], the rows' keys.

        Returns:
          int32 [N] inputs and int32 [N] targets, without EOS.
        """

    def corrupt(
        self, rows: TokenRows, keys_N: UInt64Array, vocab_size: int
    ) -> tuple[TokenRows, TokenRows]:
        """Makes inputs and targets, without EOS, of rows.

        Args:
          rows: N rows of raw tokens; an empty one gives empty inputs and targets.
          keys_N: uint64 [N], one key a row; the noise of a row is a function of its
            key and of how many tokens it has.
          vocab_size: sentinels count down from `vocab_size - 1`.

        Returns:
          N rows of inputs and N rows of targets.
        """

    def __call__(self, dataset: tf.data.Dataset) -> tf.data.Dataset:
        """Applies the objective as SeqIO applies any preprocessor, by t5's functions.

        SeqIO sets the fields `sequence_length` and `output_features` of a dataclass
        before the call.
        """


def set_by_seqio() -> Any:
    """Makes a field by which SeqIO passes what a step that is a dataclass needs."""
    return field(default=None, compare=False, repr=False)


def check_raw_length(
    objective: TokenObjective,
    raw_length: int,
    inputs_length: int | None,
    targets_length: int | None,
) -> None:
    """Checks that a row holds a token.

    Raises:
      ConfigError: it does not.
    """
    if raw_length < 1:
        raise ConfigError(
            f"lengths: inputs of {inputs_length} and targets of {targets_length} leave "
            f"no room for one token with {objective}"
        )


def cut_rows(
    dataset: tf.data.Dataset, objective: Any, raw_length: int | None = None
) -> tf.data.Dataset:
    """Joins documents and cuts rows of raw tokens, as t5's span corruption does.

    Args:
      dataset: documents of tokens, under `targets`.
      objective: has `sequence_length` and `output_features`, set by SeqIO.
      raw_length: tokens of a row; what `objective.lengths` says if None.
    """
    from t5.data import preprocessors

    if raw_length is None:
        lengths = objective.sequence_length
        raw_length, _ = objective.lengths(lengths.get("inputs"), lengths["targets"])
    dataset = preprocessors.select_random_chunk(
        dataset,
        output_features=objective.output_features,
        feature_key="targets",
        max_length=65536,
    )
    dataset = preprocessors.reduce_concat_tokens(dataset, feature_key="targets")
    return preprocessors.split_tokens(dataset, max_tokens_per_segment=raw_length)
