"""The two baselines: unigram models of the training text, in the model's own tokens.

Legend: V vocab.

Witten-Bell smoothing (Witten and Bell, "The Zero-Frequency Problem", 1991): after N
tokens of T types the next token is taken to be a new type with probability T / (N + T),
and that mass goes to the distribution behind:

    uniform over text tokens  <-  mixture-wide  <-  the language's own

It has no parameter to tune, gives every text token a probability above 0, and puts none
on tokens that stand for no text, so the baselines never pay for sentinels.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mtmoe.errors import CorpusError


@dataclasses.dataclass(frozen=True)
class UnigramBaselines:
    """Fitted baselines: -ln p [V] of each token, mixture-wide and by language code.

    Infinite for tokens that stand for no text.
    """

    mixture: NDArray[np.float64]
    languages: Mapping[str, NDArray[np.float64]]

    def language(self, code: str) -> NDArray[np.float64]:
        """Returns a language's own -ln p [V]; NaN if it was not trained on."""
        if code in self.languages:
            return self.languages[code]
        return np.full_like(self.mixture, np.nan)


def fit_unigrams(
    counts_V: Mapping[str, NDArray[np.int64]],
    rates: Mapping[str, float],
    is_text_V: NDArray[np.bool_],
) -> UnigramBaselines:
    """Fits both baselines; a language without training text has none of its own.

    Args:
      counts_V: training tokens of each language, by id.
      rates: the mixture's rate of each language, any scale: how often the model
        sees it.
      is_text_V: tokens that stand for text, an unknown one too where there may be any.

    Raises:
      CorpusError: no language of the mixture has training text.
    """
    text_counts_V = {
        name: text_V
        for name, counts in counts_V.items()
        if (text_V := np.where(is_text_V, counts, 0).astype(np.float64)).any()
    }
    if not text_counts_V:
        raise CorpusError(
            "no training text to fit the unigram baselines on, in any of "
            + ", ".join(counts_V)
        )
    uniform_V = is_text_V / is_text_V.sum()
    mixture_V = _mixture_wide(text_counts_V, rates, uniform_V)
    return UnigramBaselines(
        mixture=_nats(mixture_V),
        languages={
            name: _nats(
                witten_bell(
                    counts / counts.sum(),
                    float(counts.sum()),
                    int(np.count_nonzero(counts)),
                    mixture_V,
                )
            )
            for name, counts in text_counts_V.items()
        },
    )


def witten_bell(
    observed_V: NDArray[np.float64],
    num_tokens: float,
    num_types: int,
    behind_V: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Returns (N observed + T behind) / (N + T), a distribution over the vocabulary.

    N tokens, T of them distinct, have the relative frequencies `observed_V`; `behind_V`
    gets the mass of unseen tokens.
    """
    return (num_tokens * observed_V + num_types * behind_V) / (num_tokens + num_types)


def _mixture_wide(
    text_counts_V: Mapping[str, NDArray[np.float64]],
    rates: Mapping[str, float],
    uniform_V: NDArray[np.float64],
) -> NDArray[np.float64]:
    total_rate = sum(rates[name] for name in text_counts_V)
    observed_V = np.zeros_like(uniform_V)
    num_tokens = 0.0
    for name, counts in text_counts_V.items():
        observed_V += rates[name] / total_rate * counts / counts.sum()
        num_tokens += float(counts.sum())
    num_types = int(np.count_nonzero(observed_V))
    return witten_bell(observed_V, num_tokens, num_types, uniform_V)


def _nats(probability_V: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(divide="ignore"):
        return -np.log(probability_V)
