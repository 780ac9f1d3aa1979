"""Random numbers: reproducible, layout-free, and statistically uniform."""

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from mtmoe.mesh import initializers
from mtmoe.mesh.random import name_key, slice_bits, uniform_from_bits


def bits(shape, key=(1, 2), step=0, begin=None):
    begin = begin or [0] * len(shape)
    return slice_bits(key, tf.constant(step, tf.int32), shape, begin).numpy()


def test_key_is_sha256_of_seed_and_name():
    import hashlib

    digest = hashlib.sha256(b"7\0encoder/jitter").digest()
    assert name_key(7, "encoder/jitter") == (
        int.from_bytes(digest[:4], "little"),
        int.from_bytes(digest[4:8], "little"),
    )


def test_slices_tile_the_global_tensor():
    whole = bits([6, 8, 10])
    part = bits([3, 8, 5], begin=[3, 0, 5])
    np.testing.assert_array_equal(part, whole[3:, :, 5:])


def test_many_steps_at_once_are_those_one_by_one():
    steps = np.array([[3, 0], [7, -1]], np.int32)
    together = slice_bits((1, 2), tf.constant(steps), [1, 5], [tf.constant(4), 0])
    assert together.shape == (2, 2, 1, 5)
    for place in np.ndindex(steps.shape):
        alone = bits([1, 5], step=int(steps[place]), begin=[4, 0])
        np.testing.assert_array_equal(together[place], alone)


@pytest.mark.parametrize("change", [{"key": (1, 3)}, {"key": (2, 2)}, {"step": 1}])
def test_key_and_step_change_everything(change):
    same = np.mean(bits([64, 64]) == bits([64, 64], **change))
    assert same < 1e-3


def test_uniform_moments_and_independence():
    x = uniform_from_bits(tf.constant(bits([512, 512])), 0.0, 1.0).numpy()
    assert 0.0 <= x.min() and x.max() < 1.0
    counts, _ = np.histogram(x, bins=256, range=(0, 1))
    expected = x.size / 256
    chi_square = np.sum((counts - expected) ** 2 / expected)
    assert 180 < chi_square < 340  # 255 degrees of freedom, about +-4 sigma
    for a, b in ((x[1:], x[:-1]), (x[:, 1:], x[:, :-1])):
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.01
    steps = [bits([512, 512], step=step).ravel() for step in (4, 5)]
    assert abs(np.corrcoef(*steps)[0, 1]) < 0.01


def test_every_bit_is_fair():
    x = bits([1024, 256]).ravel()
    for bit in range(32):
        assert abs(np.mean((x >> bit) & 1) - 0.5) < 0.005, bit


@pytest.mark.parametrize(
    ("low", "high"),
    [(0.0, 1.0), (0.99, 1.01), (-1.0, 1.0), (0.5, 0.5000001), (3.0, 1e9), (-2.0, -1.0)],
)
def test_lower_bound_is_reached_and_upper_bound_is_not(low, high):
    """All bits set is what a draw of a thousand numbers never holds."""
    words = np.array([0, 1 << 8, 0xFFFFFEFF, 0xFFFFFFFF], np.uint32)
    x = uniform_from_bits(tf.constant(words), low, high).numpy()
    assert x[0] == np.float32(low)
    assert np.all(x < np.float32(high)) and np.all(np.diff(x) >= 0)
    assert x[-1] >= np.nextafter(np.float32(high), np.float32(low)) - (high - low) / 2e6


def test_numbers_below_the_upper_bound_are_those_of_the_formula():
    words = bits([1000])
    x = uniform_from_bits(tf.constant(words), 0.99, 1.01).numpy()
    unit = (words >> 8).astype(np.float32) * np.float32(2.0**-24)
    np.testing.assert_array_equal(x, unit * np.float32(0.02) + np.float32(0.99))


def test_initializers():
    key = name_key(0, "w")
    draw = initializers.truncated_normal(0.5)
    first, again = draw([200, 300], key), draw([200, 300], key)
    np.testing.assert_array_equal(first, again)
    assert np.abs(first).max() <= 1.0
    # A unit normal cut at two sigma has standard deviation 0.8796.
    assert first.std() == pytest.approx(0.5 * 0.8796, rel=0.01)
    assert np.all(initializers.ones([3], key) == 1.0)
    assert np.all(initializers.zeros([3], key) == 0.0)
    assert np.mean(draw([200, 300], name_key(0, "v")) == first) < 1e-3


def test_normal_numbers_are_quantiles():
    """Beside SciPy in float64, from the first uniform number to the last."""
    steps = np.arange(0, 2**24, 255)
    expected = scipy.stats.truncnorm.ppf((steps + 0.5) / 2**24, -2, 2, scale=0.5)
    bits = (steps << 8).astype(np.uint32)
    drawn = initializers.TruncatedNormal(0.5)._quantile(bits)
    np.testing.assert_allclose(drawn, expected, rtol=1e-6, atol=1e-7)
    assert np.all(np.diff(drawn) > 0)


@pytest.mark.parametrize("shape", [(), (3,), (0, 2), (140_000,), (2, 3, 140_000)])
def test_an_initial_value_is_the_same_in_one_piece_and_in_many(shape, monkeypatch):
    draw, key = initializers.truncated_normal(1.0), name_key(0, "w")
    whole = draw(shape, key)
    begin = [size // 2 for size in shape]
    part = draw.part(
        shape, key, begin, [n - b for n, b in zip(shape, begin, strict=True)]
    )
    np.testing.assert_array_equal(whole[tuple(slice(b, None) for b in begin)], part)
    monkeypatch.setattr(initializers, "_BLOCK", 1 << 40)
    np.testing.assert_array_equal(draw(shape, key), whole)
