"""Span corruption (Raffel et al. 2020, section 3.1.4), by t5's own functions."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import gin
import numpy as np
import tensorflow as tf

from mtmoe.data.objectives.objective import set_by_seqio
from mtmoe.errors import ConfigError


@gin.configurable(denylist=["sequence_length", "output_features"])
@dataclass(frozen=True)
class SpanCorruption:
    """Replaces random spans by sentinels; the targets spell the spans out.

    "We hold these truths to be" -> inputs "We hold X to be", targets "X these truths".
    The last step but one (`append_eos`) of a SeqIO task; a `TokenObjective`.

    Attributes:
      noise_density: fraction of the tokens that is replaced.
      mean_noise_span_length: mean tokens of a span.
      sequence_length: set by SeqIO when it runs the step.
      output_features: likewise.
    """

    noise_density: float = 0.15
    mean_noise_span_length: float = 3.0
    sequence_length: Mapping[str, int] | None = set_by_seqio()
    output_features: Mapping[str, Any] | None = set_by_seqio()

    def __post_init__(self) -> None:
        """Checks the two numbers.

        Raises:
          ConfigError: a density outside (0, 1) or a mean span below one token.
        """
        if not 0.0 < self.noise_density < 1.0:
            raise ConfigError(
                f"SpanCorruption.noise_density is {self.noise_density}; "
                "allowed: above 0 and below 1"
            )
        if self.mean_noise_span_length < 1.0:
            raise ConfigError(
                "SpanCorruption.mean_noise_span_length is "
                f"{self.mean_noise_span_length}; allowed: 1 and more"
            )

    def lengths(
        self, inputs_length: int, targets_length: int | None = None
    ) -> tuple[int, int]:
        """Returns (raw tokens that fill `inputs_length`, targets they give), with EOS.

        512 -> (568, 114), 1024 -> (1137, 229) at the default density and span. t5's
        helper rounds in double precision, its mask in single: where the two part (172
        inputs: 28 or 29 tokens of noise) the mask's counts are the ones that must fit.
        """
        del targets_length
        from t5.data import preprocessors

        raw_length, _ = preprocessors.random_spans_helper(
            inputs_length=inputs_length,
            noise_density=self.noise_density,
            mean_noise_span_length=self.mean_noise_span_length,
            extra_tokens_per_span_inputs=1,
            extra_tokens_per_span_targets=1,
        )
        num_noise, num_spans = self._noise(raw_length)
        while raw_length > 1 and raw_length - num_noise + num_spans + 1 > inputs_length:
            raw_length -= 1
            num_noise, num_spans = self._noise(raw_length)
        return raw_length, num_noise + num_spans + 1

    def num_sentinels(self, raw_length: int) -> int:
        """Returns the number of spans in a row of `raw_length` tokens."""
        return self._noise(raw_length)[1]

    def corrupt(
        self, tokens: tf.Tensor, seed: tf.Tensor, vocab_size: int
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Makes inputs and targets, without EOS, of one row of tokens.

        The first span's sentinel is `vocab_size - 1`, the next one's one less.

        Args:
          tokens: int32 [raw].
          seed: int32 [2].
          vocab_size: size of the vocabulary, sentinels included.

        Returns:
          int32 [inputs] and int32 [targets].
        """
        from t5.data import preprocessors

        vocabulary = SimpleNamespace(vocab_size=vocab_size)
        example = preprocessors.single_example_denoise(
            {"targets": tokens},
            seed,
            output_features={"targets": SimpleNamespace(vocabulary=vocabulary)},
            noise_density=self.noise_density,
            noise_mask_fn=functools.partial(
                preprocessors.random_spans_noise_mask,
                mean_noise_span_length=self.mean_noise_span_length,
            ),
            inputs_fn=preprocessors.noise_span_to_unique_sentinel,
            targets_fn=preprocessors.nonnoise_span_to_unique_sentinel,
        )
        return example["inputs"], example["targets"]

    def __call__(self, dataset: tf.data.Dataset) -> tf.data.Dataset:
        """Applies `t5.data.preprocessors.span_corruption` to a SeqIO dataset."""
        from t5.data import preprocessors

        return preprocessors.span_corruption(
            dataset,
            self.sequence_length,
            self.output_features,
            mean_noise_span_length=self.mean_noise_span_length,
            noise_density=self.noise_density,
        )

    def _noise(self, raw_length: int) -> tuple[int, int]:
        """Returns (noise tokens, spans) that `random_spans_noise_mask` makes."""
        exact = np.float32(max(raw_length, 2)) * np.float32(self.noise_density)
        num_noise = min(max(int(np.round(exact)), 1), max(raw_length, 2) - 1)
        spans = np.float32(num_noise) / np.float32(self.mean_noise_span_length)
        return num_noise, max(int(np.round(spans)), 1)
