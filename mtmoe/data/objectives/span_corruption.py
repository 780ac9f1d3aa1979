"""Span corruption (Raffel et al. 2020, section 3.1.4): T5's, many rows at once.

Legend: N rows, M tokens of all rows, R sequences to cut (noise and rest of each row).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import gin
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from mtmoe.data.ground.keys import fold
from mtmoe.data.ground.token_rows import TokenRows
from mtmoe.data.objectives.denoising import spans_to_sentinels
from mtmoe.data.objectives.objective import (
    Int32Array,
    UInt64Array,
    check_raw_length,
    set_by_seqio,
)
from mtmoe.data.objectives.segmentation import random_segments
from mtmoe.errors import ConfigError
from mtmoe.ranges import Between, Range, check_fields

SpanLength = Annotated[float, Range(1.0, 2**31 - 1)]
"""Tokens of a span, on average; no span is without any."""

BoolArray = npt.NDArray[np.bool_]
Int64Array = npt.NDArray[np.int64]


@gin.configurable(denylist=["sequence_length", "output_features"])
@dataclass(frozen=True)
class SpanCorruption:
    """Replaces random spans by sentinels; the targets spell the spans out.

    "We hold these truths to be self evident" -> inputs "We hold X to be Y", targets
    "X these truths Y self evident". The last step but one (`append_eos`) of a SeqIO
    task; a `TokenObjective`.

    What is masked has the structure of `t5.data.preprocessors.random_spans_noise_mask`
    without its roll, which is off in T5: rows of one size have the same number of noise
    tokens in the same number of spans; the first span of a row is not noise; all masks
    like that are equally likely.

    Attributes:
      noise_density: fraction of the tokens that is replaced.
      mean_noise_span_length: mean tokens of a span.
      sequence_length: set by SeqIO when it runs the step.
      output_features: likewise.
    """

    noise_density: Between = 0.15
    mean_noise_span_length: SpanLength = 3.0
    sequence_length: Mapping[str, int] | None = set_by_seqio()
    output_features: Mapping[str, Any] | None = set_by_seqio()

    def __post_init__(self) -> None:
        """Checks the ranges."""
        check_fields(self)

    def lengths(
        self, inputs_length: int | None, targets_length: int | None = None
    ) -> tuple[int, int]:
        """Returns (raw tokens that fill a row, places its targets take), with EOS.

        512 -> (568, 114), 1024 -> (1137, 229) at the default density and span. t5's
        helper rounds in double precision, its mask in single: where the two part (172
        inputs: 28 or 29 tokens of noise) the mask's counts are the ones that must fit.

        For a decoder alone (no `inputs_length`) both sides and one EOS share
        `targets_length`: 512 -> (465, 512).

        Args:
          inputs_length: places for inputs, None for a decoder alone.
          targets_length: places of a decoder alone; otherwise not looked at.

        Raises:
          ConfigError: the places do not hold one token.
        """
        places = targets_length if inputs_length is None else inputs_length
        if places is None:
            raise ConfigError("SpanCorruption needs the length of inputs or of targets")
        longest = places if inputs_length is None else self._t5_raw_length(places)
        raw_sizes = np.arange(longest + 1)
        inputs, targets = self._sizes(raw_sizes)
        taken = inputs + 1 if inputs_length is not None else inputs + targets + 1
        raw_length = int(np.searchsorted(taken, places, side="right")) - 1
        check_raw_length(self, raw_length, inputs_length, targets_length)
        end = targets[raw_length] + 1
        return raw_length, int(taken[raw_length] if inputs_length is None else end)

    def num_sentinels(self, raw_length: int) -> int:
        """Returns the number of spans in a row of `raw_length` tokens."""
        return int(self._noise(np.array([raw_length]))[1][0])

    def sizes(
        self, raw_sizes_N: npt.ArrayLike, keys_N: UInt64Array
    ) -> tuple[Int32Array, Int32Array]:
        """Returns the sizes of what `corrupt` makes; the keys play no part.

        Args:
          raw_sizes_N: tokens of each row.
          keys_N: unused.

        Returns:
          int32 [N] inputs and int32 [N] targets, without EOS.
        """
        del keys_N
        inputs_N, targets_N = self._sizes(np.asarray(raw_sizes_N, np.int64))
        return inputs_N.astype(np.int32), targets_N.astype(np.int32)

    def corrupt(
        self, rows: TokenRows, keys_N: UInt64Array, vocab_size: int
    ) -> tuple[TokenRows, TokenRows]:
        """Makes inputs and targets, without EOS, of rows.

        The first span's sentinel is `vocab_size - 1`, the next one's one less.

        Args:
          rows: N rows of raw tokens.
          keys_N: uint64 [N]; the noise of a row is a function of its key and size.
          vocab_size: size of the vocabulary, sentinels included.

        Returns:
          N rows of inputs and N rows of targets.
        """
        noise_M = self.noise_mask(np.diff(rows.bounds), keys_N)
        return (
            spans_to_sentinels(rows, noise_M, vocab_size),
            spans_to_sentinels(rows, ~noise_M, vocab_size),
        )

    def noise_mask(self, raw_sizes_N: Int64Array, keys_N: UInt64Array) -> BoolArray:
        """Returns which tokens of rows behind each other are noise.

        Args:
          raw_sizes_N: tokens of each row.
          keys_N: uint64 [N], the rows' keys.

        Returns:
          bool [M], M = sum(raw_sizes_N). The only token of a row is never noise.
        """
        masked_N = raw_sizes_N > 1
        sizes_N, keys_N = raw_sizes_N[masked_N], keys_N[masked_N]
        noise_N, spans_N = self._noise(sizes_N)
        num_picks = int(spans_N.max(initial=1)) - 1
        words = fold(keys_N, np.arange(2 * num_picks).reshape(num_picks, 2, 1))
        lengths_2Q = random_segments(
            np.concatenate([noise_N, sizes_N - noise_N]),
            np.concatenate([spans_N, spans_N]),
            words.reshape(num_picks, 2 * len(sizes_N)),
        ).reshape(2, -1)
        rest_then_noise = np.tile([False, True], lengths_2Q.shape[1])
        mask = np.repeat(rest_then_noise, lengths_2Q[::-1].T.ravel())
        if masked_N.all():
            return mask
        noise_M = np.zeros(raw_sizes_N.sum(), np.bool_)
        noise_M[np.repeat(masked_N, raw_sizes_N)] = mask
        return noise_M

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

    def _sizes(self, raw_sizes_N: Int64Array) -> tuple[Int64Array, Int64Array]:
        noise_N, spans_N = self._noise(raw_sizes_N)
        noise_N = np.where(raw_sizes_N > 1, noise_N, 0)
        # The targets of a row of one token are the sentinel of what is not noise.
        spans_N = np.minimum(spans_N, raw_sizes_N)
        inputs_N = raw_sizes_N - noise_N + np.where(raw_sizes_N > 1, spans_N, 0)
        return inputs_N, noise_N + spans_N

    def _noise(self, raw_sizes_N: Int64Array) -> tuple[Int64Array, Int64Array]:
        """Returns noise tokens and spans, as `random_spans_noise_mask` counts them.

        Where it would ask for more spans than there are tokens to stand between them,
        and fail, there are as many spans as such tokens.
        """
        sizes_N = np.maximum(raw_sizes_N, 2)
        exact_N = sizes_N.astype(np.float32) * np.float32(self.noise_density)
        noise_N = np.clip(np.round(exact_N).astype(np.int64), 1, sizes_N - 1)
        spans_N = noise_N.astype(np.float32) / np.float32(self.mean_noise_span_length)
        most_N = sizes_N - noise_N
        return noise_N, np.clip(np.round(spans_N).astype(np.int64), 1, most_N)

    def _t5_raw_length(self, inputs_length: int) -> int:
        """Returns the tokens t5's `random_spans_helper` cuts a row of."""

        def sizes(raw_length: int) -> tuple[int, int]:
            noise = round(raw_length * self.noise_density)
            spans = round(noise / self.mean_noise_span_length)
            return raw_length - noise + spans + 1, noise + spans + 1

        raw_length = inputs_length - 1
        while sizes(raw_length + 1)[0] <= inputs_length:
            raw_length += 1
        inputs, targets = sizes(raw_length)
        return raw_length - int(self.noise_density == 0.5 and targets > inputs)
