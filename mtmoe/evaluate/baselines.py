"""The unigram baselines of what a run was trained on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mtmoe.data.evaluation.token_counts import training_counts
from mtmoe.data.mixing.rates import mean_rates
from mtmoe.data.rows.cached import Lengths
from mtmoe.data.tasks.card import task_card
from mtmoe.data.tasks.catalogue import canonical_language
from mtmoe.data.tasks.registry import get_task
from mtmoe.evaluate.headline import headline_tasks
from mtmoe.evaluate.unigram import UnigramBaselines, fit_unigrams
from mtmoe.languages import SEVERAL_LANGUAGES


class TrainingBaselines(NamedTuple):
    """Baselines, and by task the tokens counted and those there are, if known."""

    models: UnigramBaselines
    tokens: dict[str, tuple[int, int | None]]


def training_baselines(
    mixture: str,
    steps: int,
    lengths: Lengths,
    is_text_V: NDArray[np.bool_],
    max_tokens: int | None = None,
) -> TrainingBaselines:
    """Fits the unigram baselines on what a mixture trains on, by language.

    They are fitted on its self-supervised tasks, on all tasks if it has none. A staged
    mixture's rates are averaged over the steps of its training.

    Args:
      mixture: the mixture the model was trained on.
      steps: of its training.
      lengths: `inputs` and `targets` lengths, or `targets` alone, as in training.
      is_text_V: tokens that stand for text.
      max_tokens: most tokens of a task that are counted; None: all.

    Raises:
      CorpusError: a task's training text cannot be read, or none has any.
    """
    counts_V: dict[str, NDArray[np.int64]] = {}
    rates: dict[str, float] = {}
    tokens: dict[str, tuple[int, int | None]] = {}
    all_rates = mean_rates(mixture, steps)
    for name in headline_tasks({n: task_card(get_task(n)).labels for n in all_rates}):
        task = get_task(name)
        code = canonical_language(task_card(task).language) or SEVERAL_LANGUAGES.code
        counted = training_counts(task, lengths, len(is_text_V), max_tokens)
        tokens[name] = (counted.num_tokens, counted.of_tokens)
        counts_V[code] = counts_V.get(code, 0) + counted.counts
        rates[code] = rates.get(code, 0.0) + all_rates[name]
    return TrainingBaselines(fit_unigrams(counts_V, rates, is_text_V), tokens)
