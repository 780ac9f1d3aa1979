"""Prefix language modelling (Raffel et al. 2020, section 3.2.3), by t5's functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import gin
import tensorflow as tf

from mtmoe.data.objectives.objective import set_by_seqio
from mtmoe.errors import ConfigError


@gin.configurable(denylist=["sequence_length", "output_features"])
@dataclass(frozen=True)
class PrefixLM:
    """Splits a row of text in two at random: inputs, and targets that go on from there.

    "We hold these truths to be" -> inputs "We hold", targets "these truths to be".
    The last step but one (`append_eos`) of a SeqIO task; a `TokenObjective`.

    A row has one token less than the inputs have places (EOS has one), and the targets
    must have room for nearly all of it: `{"inputs": 512, "targets": 511}`. On average
    both are half full.

    Attributes:
      noise_density: greatest expected fraction of the tokens that are targets. At 0.5
        the split is anywhere; below, the inputs get at least 1 - 2 * noise_density.
      sequence_length: set by SeqIO when it runs the step.
      output_features: likewise.
    """

    noise_density: float = 0.5
    sequence_length: Mapping[str, int] | None = set_by_seqio()
    output_features: Mapping[str, Any] | None = set_by_seqio()

    def __post_init__(self) -> None:
        """Checks the density.

        Raises:
          ConfigError: it is out of range.
        """
        if not 0.0 < self.noise_density <= 0.5:
            raise ConfigError(
                f"PrefixLM.noise_density is {self.noise_density}; allowed: above 0, at "
                "most 0.5"
            )

    def lengths(
        self, inputs_length: int, targets_length: int | None = None
    ) -> tuple[int, int]:
        """Returns (raw tokens of a row, targets they give at most), with EOS.

        512 -> (511, 511): at least one token of the row is in the inputs.
        """
        del targets_length
        raw_length = inputs_length - 1
        return raw_length, raw_length - self._min_inputs(raw_length) + 1

    def num_sentinels(self, raw_length: int) -> int:
        """Returns 0: the parts need no marks."""
        del raw_length
        return 0

    def corrupt(
        self, tokens: tf.Tensor, seed: tf.Tensor, vocab_size: int
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Makes inputs and targets, without EOS, of one row of tokens.

        A row of one token has empty inputs.

        Args:
          tokens: int32 [raw].
          seed: int32 [2]; the split is a function of it and of the row's length.
          vocab_size: unused.

        Returns:
          int32 [inputs] and int32 [targets].
        """
        del vocab_size
        from t5.data import preprocessors

        example = preprocessors.single_example_denoise(
            {"targets": tokens},
            seed,
            output_features={"targets": SimpleNamespace(vocabulary=None)},
            noise_density=self.noise_density,
            noise_mask_fn=preprocessors.random_prefix_noise_mask,
            inputs_fn=preprocessors.drop_nonnoise_tokens,
            targets_fn=preprocessors.drop_noise_tokens,
        )
        return example["inputs"], example["targets"]

    def __call__(self, dataset: tf.data.Dataset) -> tf.data.Dataset:
        """Applies `t5.data.preprocessors.prefix_lm` to a SeqIO dataset."""
        from t5.data import preprocessors

        return preprocessors.prefix_lm(
            dataset,
            self.sequence_length,
            self.output_features,
            noise_density=self.noise_density,
        )

    def _min_inputs(self, raw_length: int) -> int:
        """Returns the fewest inputs `random_prefix_noise_mask` leaves in a row."""
        most = raw_length - 1
        return min(most, max(1, round((1 - 2 * self.noise_density) * most)))
