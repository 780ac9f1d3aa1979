"""Decoding spelled out: each sequence is scored from scratch, example by example."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

LogProbabilities = Callable[[list[int]], np.ndarray]
"""From the tokens so far to log P of each next token, [vocab]."""


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Over the last dimension, in float64."""
    shifted = logits.astype(np.float64) - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def greedy(log_p: LogProbabilities, max_length: int, eos: int) -> list[int]:
    """The likeliest token but padding after the likeliest tokens before it."""
    tokens: list[int] = []
    while len(tokens) < max_length and eos not in tokens:
        tokens.append(1 + int(np.argmax(log_p(tokens)[1:])))
    return tokens


def penalty(length: int, alpha: float) -> float:
    """Wu et al. 2016, equation 14."""
    return float(((5 + length) / 6) ** alpha)


def beam(
    log_p: LogProbabilities, max_length: int, eos: int, num_beams: int, alpha: float
) -> tuple[list[int], float]:
    """Beam search without any early end; returns the best sequence and its score."""
    live: list[tuple[float, list[int]]] = [(0.0, [])]
    ended: list[tuple[float, list[int]]] = []
    for length in range(1, max_length + 1):
        candidates = []
        for score, tokens in live:
            next_log_p = log_p(tokens)
            candidates += [
                (score + float(next_log_p[token]), [*tokens, token])
                for token in range(1, len(next_log_p))
            ]
        candidates.sort(key=lambda item: -item[0])
        best = candidates[: 2 * num_beams]
        ended += [
            (score / penalty(length, alpha), tokens)
            for score, tokens in best
            if tokens[-1] == eos
        ]
        live = [item for item in best if item[1][-1] != eos][:num_beams]
    if ended:
        score, tokens = max(ended, key=lambda item: item[0])
        return tokens, score
    score, tokens = live[0]
    return tokens, score / penalty(max_length, alpha)


def exhaustive(
    log_p: LogProbabilities, max_length: int, eos: int, alpha: float
) -> tuple[list[int], float]:
    """The best of all sequences that end."""
    vocab = len(log_p([]))
    others = [token for token in range(1, vocab) if token != eos]
    best: tuple[list[int], float] = ([], -np.inf)
    for length in range(max_length):
        for stem in itertools.product(others, repeat=length):
            tokens = [*stem, eos]
            log_likelihood = sum(
                float(log_p(tokens[:i])[token]) for i, token in enumerate(tokens)
            )
            score = log_likelihood / penalty(len(tokens), alpha)
            if score > best[1]:
                best = (tokens, score)
    return best
