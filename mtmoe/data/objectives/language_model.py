"""Language modelling without inputs, for an encoder-decoder and for a decoder alone.

Legend: N rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gin
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from mtmoe.data.ground.token_rows import TokenRows
from mtmoe.data.objectives.objective import (
    Int32Array,
    UInt64Array,
    check_raw_length,
    cut_rows,
    set_by_seqio,
)
from mtmoe.errors import ConfigError


@gin.configurable(denylist=["sequence_length", "output_features"])
@dataclass(frozen=True)
class LanguageModel:
    """Empty inputs, text as targets (Raffel et al. 2020, section 3.2.3).

    t5's `lm` by the convention for encoder-decoders: the inputs are EOS alone, so the
    encoder is given one token that is always the same and the decoder models the text.
    The targets' length decides how long a row is; two places do for the inputs:
    `{"inputs": 2, "targets": 512}`. A `TokenObjective`.

    Attributes:
      sequence_length: set by SeqIO when it runs the step.
      output_features: likewise.
    """

    sequence_length: Mapping[str, int] | None = set_by_seqio()
    output_features: Mapping[str, Any] | None = set_by_seqio()

    def lengths(
        self, inputs_length: int | None, targets_length: int | None = None
    ) -> tuple[int, int]:
        """Returns (raw tokens that fill the targets, the targets' length), with EOS.

        It is the same for a decoder alone: 512 -> (511, 512).

        Raises:
          ConfigError: the targets' length is not given, or holds no token.
        """
        if targets_length is None:
            raise ConfigError("LanguageModel needs the length of the targets")
        check_raw_length(self, targets_length - 1, inputs_length, targets_length)
        return targets_length - 1, targets_length

    def num_sentinels(self, raw_length: int) -> int:
        """Returns 0."""
        del raw_length
        return 0

    def sizes(
        self, raw_sizes_N: npt.ArrayLike, keys_N: UInt64Array
    ) -> tuple[Int32Array, Int32Array]:
        """Returns the sizes of what `corrupt` makes: none, and all of them."""
        del keys_N
        targets_N = np.asarray(raw_sizes_N).astype(np.int32)
        return np.zeros_like(targets_N), targets_N

    def corrupt(
        self, rows: TokenRows, keys_N: UInt64Array, vocab_size: int
    ) -> tuple[TokenRows, TokenRows]:
        """Returns no inputs, and the tokens as targets; there is nothing random.

        Args:
          rows: N rows of raw tokens.
          keys_N: unused.
          vocab_size: unused.

        Returns:
          N empty rows, and the rows themselves.
        """
        del keys_N, vocab_size
        return TokenRows(np.zeros(0, np.int32), np.zeros_like(rows.bounds)), rows

    def __call__(self, dataset: tf.data.Dataset) -> tf.data.Dataset:
        """Joins documents and cuts rows as t5's span corruption does; empty inputs."""
        assert self.sequence_length is not None and self.output_features is not None
        room_for_eos = int(self.output_features["targets"].add_eos)
        raw_length = self.sequence_length["targets"] - room_for_eos
        dataset = cut_rows(dataset, self, raw_length)
        return dataset.map(
            lambda row: {"inputs": row["targets"][:0], "targets": row["targets"]},
            num_parallel_calls=tf.data.AUTOTUNE,
        )
