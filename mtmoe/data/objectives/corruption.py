"""One traced tf.data map that applies a token objective to rows of any task."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from mtmoe.data.objectives.objective import TokenObjective

Int32Array = npt.NDArray[np.int32]
CorruptRows = Callable[
    [Int32Array, Int32Array, Int32Array], tuple[Int32Array, Int32Array]
]

_PARALLEL_ROWS = 8


@functools.lru_cache(maxsize=32)
def corruption(
    objective: TokenObjective,
    vocab_size: int,
    eos_id: int,
    inputs_length: int,
    targets_length: int,
) -> CorruptRows:
    """Builds the map; traced once for all tasks, batch sizes and seeds.

    Args:
      objective: what to make of a row.
      vocab_size: size of the vocabulary, sentinels included.
      eos_id: token put behind inputs and targets.
      inputs_length: L, inputs are padded with 0 to it.
      targets_length: T, likewise.

    Returns:
      A function of (rows int32 [B, R], sizes int32 [B], seeds int32 [B, 2]) that gives
      (inputs int32 [B, L], targets int32 [B, T]). Row i is `rows[i, :sizes[i]]`. It is
      safe to call from several threads.
    """

    def example(
        row: tf.Tensor, size: tf.Tensor, seed: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        inputs, targets = objective.corrupt(row[:size], seed, vocab_size)
        return finish(inputs, inputs_length), finish(targets, targets_length)

    def finish(tokens: tf.Tensor, length: int) -> tf.Tensor:
        with_eos = tf.concat([tokens, [eos_id]], axis=0)
        padded = tf.pad(with_eos, [[0, length - tf.size(with_eos)]])
        return tf.ensure_shape(padded, [length])

    options = tf.data.Options()
    options.autotune.enabled = False
    options.deterministic = True

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None], tf.int32),
            tf.TensorSpec([None], tf.int32),
            tf.TensorSpec([None, 2], tf.int32),
        ]
    )
    def corrupt(
        rows: tf.Tensor, sizes: tf.Tensor, seeds: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        dataset = tf.data.Dataset.from_tensor_slices((rows, sizes, seeds))
        dataset = dataset.map(example, num_parallel_calls=_PARALLEL_ROWS)
        dataset = dataset.batch(tf.shape(rows, tf.int64)[0])
        return dataset.with_options(options).get_single_element()

    def corrupt_rows(
        rows: Int32Array, sizes: Int32Array, seeds: Int32Array
    ) -> tuple[Int32Array, Int32Array]:
        with tf.device("CPU:0"):
            inputs, targets = corrupt(rows, sizes, seeds)
        return inputs.numpy(), targets.numpy()

    return corrupt_rows
