"""Learning rates as functions of the step.

A schedule takes the number of updates made so far, an int32 scalar tensor, and returns
a float32 scalar tensor. The other arguments are for gin, which names a schedule where
one is wanted:

    train.schedule = @linear_warmup_and_cooldown
    linear_warmup_and_cooldown.schedule = @inverse_square_root
    linear_warmup_and_cooldown.total_steps = 1000
    linear_warmup_and_cooldown.cooldown_steps = 200
"""

from __future__ import annotations

import math
from collections.abc import Callable

import gin
import tensorflow as tf

from mtmoe.errors import ConfigError
from mtmoe.ranges import Count, Fraction, LearningRate, Natural, checked

Schedule = Callable[[tf.Tensor], tf.Tensor]


@gin.configurable
@checked
def constant_learning_rate(
    step: tf.Tensor, learning_rate: LearningRate = 1e-3
) -> tf.Tensor:
    """Returns `learning_rate` at every step."""
    del step
    return tf.constant(learning_rate, tf.float32)


@gin.configurable
@checked
def inverse_square_root(
    step: tf.Tensor,
    base_learning_rate: LearningRate = 1.0,
    warmup_steps: Count = 10_000,
) -> tf.Tensor:
    """Returns base_learning_rate / sqrt(max(step, warmup_steps)).

    T5's schedule (Raffel et al. 2020, section 3.1.2): constant at first, 0.01 with the
    defaults, then falling. The rate is relative to each parameter's scale where the
    optimizer multiplies by it.

    Args:
      step: updates made so far.
      base_learning_rate: the rate times the square root of the step.
      warmup_steps: steps for which the rate is constant.

    Raises:
      RangeError: a number is out of range.
    """
    effective_step = tf.cast(tf.maximum(step, warmup_steps), tf.float32)
    return base_learning_rate * tf.math.rsqrt(effective_step)


@gin.configurable
@checked
def linear_decay(
    step: tf.Tensor,
    base_learning_rate: LearningRate = gin.REQUIRED,
    total_steps: Count = gin.REQUIRED,
    final_fraction: Fraction = 0.0,
) -> tf.Tensor:
    """Falls from `base_learning_rate` along a straight line.

    Args:
      step: updates made so far.
      base_learning_rate: the rate of the first update.
      total_steps: updates until the rate is the final one.
      final_fraction: the final rate over the base one; what it stays at afterwards.

    Raises:
      RangeError: a number is out of range.
    """
    done = _share_done(step, total_steps)
    return base_learning_rate * (1.0 - (1.0 - final_fraction) * done)


@gin.configurable
@checked
def cosine_decay(
    step: tf.Tensor,
    base_learning_rate: LearningRate = gin.REQUIRED,
    total_steps: Count = gin.REQUIRED,
    final_fraction: Fraction = 0.0,
) -> tf.Tensor:
    """Falls from `base_learning_rate` along half a cosine.

    Loshchilov and Hutter 2017, "SGDR", equation 5, one period without restarts. What
    the arguments mean, and what they may be, `linear_decay` says.
    """
    done = _share_done(step, total_steps)
    cosine = 0.5 * (1.0 + tf.cos(math.pi * done))
    return base_learning_rate * (final_fraction + (1.0 - final_fraction) * cosine)


def _share_done(step: tf.Tensor, total_steps: int) -> tf.Tensor:
    """The share of the steps that has been made, at most 1."""
    return tf.minimum(tf.cast(step, tf.float32) / total_steps, 1.0)


@gin.configurable
@checked
def linear_warmup_and_cooldown(
    step: tf.Tensor,
    schedule: Schedule = inverse_square_root,
    total_steps: Count = gin.REQUIRED,
    warmup_steps: Natural = 0,
    cooldown_steps: Natural = 0,
) -> tf.Tensor:
    """Returns `schedule`, rising linearly at the start and falling to zero at the end.

    The first update has 1 / warmup_steps of the rate and the last 1 / cooldown_steps. A
    run of few steps gains most from the fall.

    Args:
      step: updates made so far.
      schedule: the rate between the two ramps.
      total_steps: updates of the whole run; after them the rate is zero.
      warmup_steps: length of the rise, 0 for none.
      cooldown_steps: length of the fall, 0 for none.

    Raises:
      RangeError: a number is out of range.
      ConfigError: the ramps are longer than the run.
    """
    if warmup_steps + cooldown_steps > total_steps:
        raise ConfigError(
            "linear_warmup_and_cooldown: warmup_steps and cooldown_steps must not be "
            f"more than total_steps together; got {warmup_steps} and {cooldown_steps} "
            f"of {total_steps}"
        )
    rise = tf.cast(step + 1, tf.float32) / max(warmup_steps, 1)
    fall = tf.cast(total_steps - step, tf.float32) / max(cooldown_steps, 1)
    return schedule(step) * tf.clip_by_value(tf.minimum(rise, fall), 0.0, 1.0)
