"""Language modelling without inputs, for an encoder-decoder and for a decoder alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gin
import tensorflow as tf

from mtmoe.data.objectives.objective import set_by_seqio
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
        self, inputs_length: int, targets_length: int | None = None
    ) -> tuple[int, int]:
        """Returns (raw tokens that fill the targets, the targets' length), with EOS.

        Raises:
          ConfigError: the targets' length is not given.
        """
        del inputs_length
        if targets_length is None:
            raise ConfigError("LanguageModel needs the length of the targets")
        return targets_length - 1, targets_length

    def num_sentinels(self, raw_length: int) -> int:
        """Returns 0."""
        del raw_length
        return 0

    def corrupt(
        self, tokens: tf.Tensor, seed: tf.Tensor, vocab_size: int
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns no inputs, and the tokens as targets; there is nothing random.

        Args:
          tokens: int32 [raw].
          seed: unused.
          vocab_size: unused.

        Returns:
          int32 [0] and int32 [raw].
        """
        del seed, vocab_size
        return tokens[:0], tokens

    def __call__(self, dataset: tf.data.Dataset) -> tf.data.Dataset:
        """Joins documents and cuts rows as t5's span corruption does; empty inputs."""
        from t5.data import preprocessors

        assert self.sequence_length is not None and self.output_features is not None
        room_for_eos = int(self.output_features["targets"].add_eos)
        dataset = preprocessors.select_random_chunk(
            dataset,
            output_features=self.output_features,
            feature_key="targets",
            max_length=65536,
        )
        dataset = preprocessors.reduce_concat_tokens(dataset, feature_key="targets")
        dataset = preprocessors.split_tokens(
            dataset,
            max_tokens_per_segment=self.sequence_length["targets"] - room_for_eos,
        )
        return dataset.map(
            lambda row: {"inputs": row["targets"][:0], "targets": row["targets"]},
            num_parallel_calls=tf.data.AUTOTUNE,
        )
