"""Schedules against numpy, and what they refuse."""

import gin
import numpy as np
import pytest
import tensorflow as tf

from mtmoe.errors import ConfigError
from mtmoe.train import schedules

STEPS = [0, 1, 9, 10, 11, 99, 100, 899, 900, 950, 999, 1000, 5000]


def values(schedule):
    tensors = [schedule(tf.constant(step, tf.int32)) for step in STEPS]
    assert all(x.dtype == tf.float32 and x.shape == () for x in tensors)
    return np.array([x.numpy() for x in tensors])


def test_constant():
    got = values(lambda step: schedules.constant_learning_rate(step, 0.25))
    np.testing.assert_array_equal(got, np.full(len(STEPS), 0.25))


def test_inverse_square_root():
    got = values(lambda step: schedules.inverse_square_root(step, 2.0, 10))
    np.testing.assert_allclose(got, 2 / np.sqrt(np.maximum(STEPS, 10)), rtol=1e-6)


def test_t5_defaults():
    schedule = schedules.inverse_square_root
    assert schedule(tf.constant(0)).numpy() == pytest.approx(0.01)
    assert schedule(tf.constant(1_000_000)).numpy() == pytest.approx(0.001)


def test_linear_decay():
    got = values(lambda step: schedules.linear_decay(step, 0.5, 1000, 0.2))
    wanted = np.interp(STEPS, [0, 1000], [0.5, 0.1])
    np.testing.assert_allclose(got, wanted, rtol=1e-6)


def test_cosine_decay():
    got = values(lambda step: schedules.cosine_decay(step, 0.5, 1000, 0.1))
    share = np.minimum(np.array(STEPS) / 1000, 1)
    wanted = 0.05 + 0.45 * (1 + np.cos(np.pi * share)) / 2
    np.testing.assert_allclose(got, wanted, rtol=2e-6)
    assert got[0] == pytest.approx(0.5) and got[-1] == pytest.approx(0.05)


@pytest.mark.parametrize(("warmup", "cooldown"), [(0, 0), (10, 100), (1, 1000 - 1)])
def test_linear_warmup_and_cooldown(warmup, cooldown):
    got = values(
        lambda step: schedules.linear_warmup_and_cooldown(
            step, schedules.constant_learning_rate, 1000, warmup, cooldown
        )
    )
    wanted = []
    for step in STEPS:
        rise = (step + 1) / warmup if warmup else 1.0
        fall = (1000 - step) / cooldown if cooldown else float(step < 1000)
        wanted.append(1e-3 * max(0.0, min(1.0, rise, fall)))
    np.testing.assert_allclose(got, wanted, rtol=1e-6)
    assert np.all(got[:-2] > 0.0)  # no update of the run is lost
    assert np.all(got[-2:] == 0.0)  # and none is made after it


def test_gin_composes_them():
    gin.parse_config("""
        linear_warmup_and_cooldown.schedule = @inverse_square_root
        linear_warmup_and_cooldown.total_steps = 1000
        linear_warmup_and_cooldown.cooldown_steps = 100
        inverse_square_root.warmup_steps = 10
    """)
    got = values(schedules.linear_warmup_and_cooldown)
    fall = np.clip((1000 - np.array(STEPS)) / 100, 0, 1)
    np.testing.assert_allclose(got, fall / np.sqrt(np.maximum(STEPS, 10)), rtol=1e-6)


def test_a_warm_up_goes_before_a_cosine():
    gin.parse_config("""
        linear_warmup_and_cooldown.schedule = @cosine_decay
        linear_warmup_and_cooldown.total_steps = 1000
        linear_warmup_and_cooldown.warmup_steps = 100
        cosine_decay.base_learning_rate = 2.0
        cosine_decay.total_steps = 1000
    """)
    steps = np.array(STEPS[:-2])
    got = values(schedules.linear_warmup_and_cooldown)[:-2]
    wanted = np.minimum((steps + 1) / 100, 1) * (1 + np.cos(np.pi * steps / 1000))
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("lengths", [(100, 1), (0, 101), (60, 41)])
def test_ramps_that_do_not_fit_are_refused(lengths):
    with pytest.raises(ConfigError, match=f"{lengths[0]} and {lengths[1]} of 100"):
        schedules.linear_warmup_and_cooldown(
            tf.constant(0), schedules.constant_learning_rate, 100, *lengths
        )


def test_total_steps_is_required():
    with pytest.raises(RuntimeError, match="total_steps"):
        schedules.linear_warmup_and_cooldown(tf.constant(0))
