"""Choices of one token, against numpy and against the distribution they should have."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from mtmoe.mesh.random import name_key
from mtmoe.model.decoding.strategies import (
    IMPOSSIBLE,
    Greedy,
    Sampling,
    choose_tokens,
    sampled_logits,
)

KEY = name_key(3, "decoding")


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def numpy_kept(logits, temperature, top_k, top_p):
    """Which tokens may be drawn, token by token from the likeliest on."""
    kept = np.zeros(logits.shape, bool)
    for row, values in enumerate(logits / temperature):
        order = np.argsort(-values)[: top_k or None]
        mass = 0.0
        for token, p in zip(order, softmax(values[order]), strict=True):
            if mass >= top_p:
                break
            kept[row, token] = True
            mass += p
    return kept


@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p"),
    [(1.0, 0, 1.0), (0.7, 5, 1.0), (1.0, 0, 0.6), (2.0, 8, 0.8), (1.0, 1, 1.0)],
)
def test_cuts_are_those_of_numpy(temperature, top_k, top_p):
    logits = np.random.default_rng(0).normal(0.0, 2.0, [50, 20]).astype(np.float32)
    got = sampled_logits(
        tf.constant(logits), Sampling(temperature, top_k, top_p)
    ).numpy()
    kept = numpy_kept(logits.astype(np.float64), temperature, top_k, top_p)
    np.testing.assert_array_equal(got > IMPOSSIBLE / 2, kept)
    np.testing.assert_allclose(got[kept], (logits / temperature)[kept], rtol=1e-6)


def test_more_than_all_tokens_are_all_tokens():
    logits = tf.constant([[1.0, 2.0, 3.0]])
    np.testing.assert_array_equal(sampled_logits(logits, Sampling(top_k=9)), logits)


def draws(sampling, logits, keys, position=0):
    return choose_tokens(
        sampling,
        tf.repeat(tf.constant(logits)[tf.newaxis], len(keys), axis=0),
        tf.constant(keys, tf.int32),
        tf.constant(position),
        KEY,
    ).numpy()


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(0.5, 6, 0.95)])
def test_frequencies_are_the_probabilities(sampling):
    logits = np.random.default_rng(1).normal(0.0, 1.0, [12]).astype(np.float32)
    count = 20_000
    by_key = draws(sampling, logits, np.arange(count))
    by_place = np.concatenate(
        [draws(sampling, logits, np.arange(1000), place) for place in range(20)]
    )
    kept = numpy_kept(
        logits[np.newaxis].astype(np.float64),
        sampling.temperature,
        sampling.top_k,
        sampling.top_p,
    )[0]
    expected = np.zeros(len(logits))
    expected[kept] = softmax(logits[kept].astype(np.float64) / sampling.temperature)
    for tokens in (by_key, by_place):
        counts = np.bincount(tokens, minlength=len(logits))
        assert not counts[~kept].any()
        test = scipy.stats.chisquare(counts[kept], expected[kept] * count)
        assert test.pvalue > 0.01
    # Different places of one example, and different examples, are independent.
    size = len(logits)
    pairs = by_place[:10_000] * size + by_place[10_000:]
    pairs = np.bincount(pairs, minlength=size**2).reshape([size, size])
    pairs = pairs[kept][:, kept]
    assert scipy.stats.chi2_contingency(pairs).pvalue > 0.01


def test_noise_hangs_on_key_and_place_alone():
    logits = np.zeros([40], np.float32)
    keys = np.array([5, 6, 7, 5])
    tokens = draws(Sampling(), logits, keys)
    assert tokens[0] == tokens[3]
    np.testing.assert_array_equal(draws(Sampling(), logits, keys[::-1]), tokens[::-1])
    many = np.arange(100)
    same_place = draws(Sampling(), logits, many) == draws(Sampling(), logits, many, 1)
    assert same_place.mean() < 0.2


def test_greedy_takes_the_first_of_equals():
    logits = tf.constant([[0.0, 2.0, 2.0], [5.0, 1.0, 2.0]])
    got = choose_tokens(Greedy(), logits, tf.constant([1, 2]), tf.constant(0), KEY)
    assert got.numpy().tolist() == [1, 0] and got.dtype == tf.int32
