"""Beam search over made-up models: no network, so that every sequence can be tried."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from oracles import decoding_numpy as oracle

from mtmoe.model.decoding.beam_search import (
    best_sequences,
    extend_beams,
    length_penalty,
    no_beams,
)
from mtmoe.model.decoding.strategies import BeamSearch

EOS = 1


def random_language(vocab, seed, examples):
    """For each example, log P of the next token by number and sum of those before."""
    logits = np.random.default_rng(seed).normal(0, 2, [examples, 12, 40, vocab])

    def log_p(example, tokens):
        values = logits[example, len(tokens), sum(tokens) % 40]
        return oracle.log_softmax(values)

    return log_p


def search(log_p, strategy, examples, vocab, max_length):
    beams = no_beams(tf.ones([examples]), strategy.num_beams, max_length)
    steps = 0
    for position in range(max_length):
        if not beams.running.numpy().any():
            break
        live = beams.live_tokens.numpy().reshape([-1, max_length])[:, :position]
        logits = np.stack(
            [
                log_p(row // strategy.num_beams, tokens.tolist())
                for row, tokens in enumerate(live)
            ]
        ).astype(np.float32)
        beams, parents, tokens = extend_beams(
            beams, tf.constant(logits), tf.constant(position), EOS, strategy
        )
        for example in range(examples):
            for beam in range(strategy.num_beams):
                last = beams.live_tokens[example, beam].numpy()
                before = live[example * strategy.num_beams + parents[example, beam]]
                if beams.live_scores[example, beam] > -1e8:
                    assert last[position] == tokens[example, beam]
                    np.testing.assert_array_equal(last[:position], before)
        steps += 1
    tokens, scores = best_sequences(beams, strategy)
    return tokens.numpy(), scores.numpy(), steps


def stripped(tokens):
    return [token for token in tokens.tolist() if token]


@pytest.mark.parametrize("alpha", [0.0, 0.6, 2.0])
@pytest.mark.parametrize("num_beams", [1, 2, 4])
def test_finds_what_the_oracle_finds(num_beams, alpha):
    vocab, max_length, examples = 7, 6, 5
    log_p = random_language(vocab, seed=num_beams, examples=examples)
    strategy = BeamSearch(num_beams, alpha)
    tokens, scores, _ = search(log_p, strategy, examples, vocab, max_length)
    for example in range(examples):
        want, score = oracle.beam(
            lambda before, example=example: log_p(example, before),
            max_length,
            EOS,
            num_beams,
            alpha,
        )
        assert stripped(tokens[example]) == want
        assert scores[example] == pytest.approx(score, abs=1e-4)


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_a_wide_beam_finds_the_best_of_all(alpha):
    vocab, max_length, examples = 5, 3, 3
    log_p = random_language(vocab, seed=8, examples=examples)
    strategy = BeamSearch(9, alpha)  # 3 * 3 stems of two tokens that do not end
    tokens, scores, _ = search(log_p, strategy, examples, vocab, max_length)
    for example in range(examples):
        want, score = oracle.exhaustive(
            lambda before, example=example: log_p(example, before),
            max_length,
            EOS,
            alpha,
        )
        assert stripped(tokens[example]) == want
        assert scores[example] == pytest.approx(score, abs=1e-4)


def test_the_search_ends_when_nothing_better_can_come():
    def sure_of_the_end(example, tokens):
        logits = np.zeros(6)
        logits[EOS] = 20.0
        return oracle.log_softmax(logits)

    strategy = BeamSearch(2, 0.6)
    tokens, _, steps = search(sure_of_the_end, strategy, 2, 6, 12)
    assert tokens[:, 0].tolist() == [EOS, EOS] and not tokens[:, 1:].any()
    assert steps < 5


def test_cut_off_where_nothing_ends():
    def never_ends(example, tokens):
        logits = np.zeros(6)
        logits[3], logits[EOS] = 5.0, -1e9
        return oracle.log_softmax(logits)

    tokens, scores, _ = search(never_ends, BeamSearch(2, 1.0), 1, 6, 4)
    assert tokens.tolist() == [[3, 3, 3, 3]]
    want = 4 * never_ends(0, [])[3] / oracle.penalty(4, 1.0)
    assert scores[0] == pytest.approx(want, abs=1e-5)


def test_the_penalty_is_that_of_the_paper():
    assert float(length_penalty(1, 0.6)) == pytest.approx(1.0)
    assert float(length_penalty(7, 2.0)) == pytest.approx(4.0)
    assert float(length_penalty(30, 0.0)) == pytest.approx(1.0)
