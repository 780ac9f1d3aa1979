"""Prefix language modelling (Raffel et al. 2020, section 3.2.3), many rows at once.

Legend: N rows, M tokens of all rows.
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
from mtmoe.data.objectives.denoising import keep
from mtmoe.data.objectives.objective import (
    Int32Array,
    UInt64Array,
    check_raw_length,
    set_by_seqio,
)
from mtmoe.data.objectives.segmentation import uniform
from mtmoe.errors import ConfigError
from mtmoe.ranges import Range, check_fields

Int64Array = npt.NDArray[np.int64]

PrefixDensity = Annotated[float, Range(0.0, 0.5, above=True)]
"""At 0.5 the split is anywhere."""

_SPLIT = 0  # the word that keys the choice


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

    noise_density: PrefixDensity = 0.5
    sequence_length: Mapping[str, int] | None = set_by_seqio()
    output_features: Mapping[str, Any] | None = set_by_seqio()

    def __post_init__(self) -> None:
        """Checks the density."""
        check_fields(self)

    def lengths(
        self, inputs_length: int | None, targets_length: int | None = None
    ) -> tuple[int, int]:
        """Returns (raw tokens of a row, places its targets take at most), with EOS.

        512 -> (511, 511): at least one token of the row is in the inputs. For a decoder
        alone (no `inputs_length`) the row and EOS fill `targets_length`: 512 ->
        (511, 512).

        Raises:
          ConfigError: there is no room for one token, or no length that decides.
        """
        places = targets_length if inputs_length is None else inputs_length
        if places is None:
            raise ConfigError("PrefixLM needs the length of the inputs or the targets")
        raw_length = places - 1
        check_raw_length(self, raw_length, inputs_length, targets_length)
        if inputs_length is None:
            return raw_length, places
        fewest_inputs = int(self._fewest_inputs(np.array([raw_length]))[0])
        return raw_length, raw_length - fewest_inputs + 1

    def num_sentinels(self, raw_length: int) -> int:
        """Returns 0: the parts need no marks."""
        del raw_length
        return 0

    def sizes(
        self, raw_sizes_N: npt.ArrayLike, keys_N: UInt64Array
    ) -> tuple[Int32Array, Int32Array]:
        """Returns the sizes of what `corrupt` makes: where the keys split the rows.

        Args:
          raw_sizes_N: tokens of each row. A row of one token has empty inputs.
          keys_N: uint64 [N]; a split is a function of the row's key and size.

        Returns:
          int32 [N] inputs and int32 [N] targets, without EOS.
        """
        raw_sizes_N = np.asarray(raw_sizes_N, np.int64)
        inputs_N = self._split(raw_sizes_N, keys_N)
        targets_N = raw_sizes_N - inputs_N
        return inputs_N.astype(np.int32), targets_N.astype(np.int32)

    def corrupt(
        self, rows: TokenRows, keys_N: UInt64Array, vocab_size: int
    ) -> tuple[TokenRows, TokenRows]:
        """Makes inputs and targets, without EOS, of rows.

        Args:
          rows: N rows of raw tokens.
          keys_N: uint64 [N]; a split is a function of the row's key and size.
          vocab_size: unused.

        Returns:
          N rows of inputs and N rows of targets.
        """
        del vocab_size
        raw_sizes_N = np.diff(rows.bounds)
        inputs_N = self._split(raw_sizes_N, keys_N)
        inputs_then_targets = np.tile([True, False], len(rows))
        is_input_M = np.repeat(
            inputs_then_targets, np.stack([inputs_N, raw_sizes_N - inputs_N], 1).ravel()
        )
        return keep(rows, is_input_M), keep(rows, ~is_input_M)

    def __call__(self, dataset: tf.data.Dataset) -> tf.data.Dataset:
        """Applies `t5.data.preprocessors.prefix_lm` to a SeqIO dataset."""
        from t5.data import preprocessors

        return preprocessors.prefix_lm(
            dataset,
            self.sequence_length,
            self.output_features,
            noise_density=self.noise_density,
        )

    def _split(self, raw_sizes_N: Int64Array, keys_N: UInt64Array) -> Int64Array:
        """Draws the inputs' tokens of each row, as `random_prefix_noise_mask` does."""
        fewest_N = self._fewest_inputs(raw_sizes_N)
        most_N = np.maximum(raw_sizes_N - 1, 0)
        return fewest_N + uniform(fold(keys_N, _SPLIT), most_N - fewest_N + 1)

    def _fewest_inputs(self, raw_sizes_N: Int64Array) -> Int64Array:
        """Returns the fewest inputs `random_prefix_noise_mask` leaves in rows."""
        most_N = np.maximum(raw_sizes_N - 1, 0)
        exact_N = np.float32(1 - 2 * self.noise_density) * most_N.astype(np.float32)
        fewest_N = np.maximum(np.round(exact_N).astype(np.int64), 1)
        return np.minimum(most_N, fewest_N)
