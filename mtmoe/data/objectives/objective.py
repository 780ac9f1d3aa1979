"""What a token objective is: it makes an example of a stretch of raw tokens."""

from __future__ import annotations

from dataclasses import field
from typing import Any, Protocol, runtime_checkable

import tensorflow as tf


@runtime_checkable
class TokenObjective(Protocol):
    """A hashable SeqIO preprocessor that can also be applied to one row of tokens.

    The last steps of a task are a token objective and `seqio.preprocessors.append_eos`;
    everything before them yields raw tokens under `targets` and is run only once.
    """

    def __hash__(self) -> int:
        """Equal objectives share one traced map."""

    def lengths(
        self, inputs_length: int, targets_length: int | None = None
    ) -> tuple[int, int]:
        """Returns (raw tokens of a full row, the most targets they give).

        EOS is counted on both sides.

        Args:
          inputs_length: places for inputs in a batch.
          targets_length: places for targets; it decides where there are no inputs to
            fill, and plays no part otherwise.
        """

    def num_sentinels(self, raw_length: int) -> int:
        """Returns how many sentinels a row of `raw_length` tokens needs."""

    def corrupt(
        self, tokens: tf.Tensor, seed: tf.Tensor, vocab_size: int
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Makes inputs and targets, without EOS, of one row.

        Args:
          tokens: int32 [raw], raw >= 1.
          seed: int32 [2]; the result is a function of tokens and seed.
          vocab_size: sentinels count down from `vocab_size - 1`.

        Returns:
          int32 [inputs] and int32 [targets].
        """

    def __call__(self, dataset: tf.data.Dataset) -> tf.data.Dataset:
        """Applies the objective as SeqIO applies any preprocessor.

        SeqIO sets the fields `sequence_length` and `output_features` of a dataclass
        before the call.
        """


def set_by_seqio() -> Any:
    """Makes a field by which SeqIO passes what a step that is a dataclass needs."""
    return field(default=None, compare=False, repr=False)
