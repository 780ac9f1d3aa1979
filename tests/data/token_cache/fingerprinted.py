"""Tasks whose fingerprint is asked for, and steps to give them."""

from __future__ import annotations

from typing import Any

import seqio
from fake_tasks import features

from mtmoe.data.sources.pairs import PairSource
from mtmoe.data.token_cache.fingerprints.split import split_fingerprint

TOKENIZE = seqio.preprocessors.tokenize
BYTES = seqio.ByteVocabulary(extra_ids=100)


def plain(dataset, size=1, *, word="a"):
    return dataset


def other(dataset):
    return dataset


def task_of(
    *steps: Any, source: Any = None, vocabulary: Any = BYTES, **changes: Any
) -> seqio.Task:
    """A task of examples with some steps before the cache."""
    named = features(vocabulary)
    named |= changes
    return seqio.Task(
        "some",
        source=source or PairSource(list, ["train", "test"], fingerprint=lambda: "v1"),
        preprocessors=[*steps, TOKENIZE, seqio.CacheDatasetPlaceholder()],
        output_features=named,
    )


def digest(*steps: Any, split: str = "train", **arguments: Any) -> str:
    return split_fingerprint(task_of(*steps, **arguments), split).digest
