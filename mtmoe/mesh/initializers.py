"""Initial values: pure functions of (seed, variable name), equal on every host.

An initializer is called as `initializer(shape, key)`, with `shape` a list of integers
and `key` two 32-bit words from `mtmoe.mesh.random.name_key`; it returns a float32
tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

Initializer = Callable[[Sequence[int], tuple[int, int]], tf.Tensor]


def constant(value: float) -> Initializer:
    """Every element is `value`."""
    return lambda shape, key: tf.fill(list(shape), tf.constant(value, tf.float32))


zeros: Initializer = constant(0.0)
ones: Initializer = constant(1.0)


def truncated_normal(stddev: float) -> Initializer:
    """A normal distribution cut at two standard deviations.

    Args:
      stddev: the parameter sigma of the distribution before it is cut, as in
        Switch Transformer (Fedus et al. 2022, section 2.4): sigma = sqrt(s / fan_in).
    """

    def draw(shape: Sequence[int], key: tuple[int, int]) -> tf.Tensor:
        seed = tf.constant(
            [word - 2**32 if word >= 2**31 else word for word in key], tf.int32
        )
        # Philox by name: the automatic choice differs from one device type to another.
        unit = tf.random.stateless_truncated_normal(
            list(shape), seed=seed, alg=tf.random.Algorithm.PHILOX
        )
        return unit * stddev

    return draw
