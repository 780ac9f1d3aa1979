"""Registration under our names and, as aliases, those of the mT5 code base.

Ours are written with mC4's codes (`xnli.dev_test.zh`, `wikiann.train.iw`), upstream's
with each data set's own (`mt5_xnli_dev_test.zh`, `mt5_ner_train.he`). Upstream: Xue et
al. 2021 and github.com/google-research/multilingual-t5.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import seqio

from mtmoe.data.mixing.mixtures import register_weighted_mixture
from mtmoe.data.tasks.card import TaskCard
from mtmoe.data.tasks.registration import register_alias, register_task


def register_mt5_task(
    name: str,
    upstream: str,
    source: seqio.DataSource,
    card: TaskCard,
    preprocessors: Sequence[Any],
    metrics: Sequence[Any],
    postprocess: Any = None,
) -> str:
    """Registers a task, arguments as of `register_task`, and upstream's name for it.

    Returns:
      Our name.
    """
    register_task(
        name,
        source,
        card,
        preprocessors=preprocessors,
        postprocess=postprocess,
        metrics=metrics,
    )
    register_alias(upstream, name)
    return name


def register_mt5_mixture(name: str, upstream: str, tasks: Iterable[str]) -> str:
    """Registers tasks of equal rates, and upstream's name for the mixture.

    Tasks without a `train` split take no part in training: they are there to be
    evaluated with the mixture.

    Returns:
      Our name.
    """
    register_weighted_mixture(name, dict.fromkeys(tasks, 1.0))
    register_alias(upstream, name)
    return name
