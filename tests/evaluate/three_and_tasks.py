"""Registers the three small tasks of text together with two supervised ones."""

from __future__ import annotations

import three_languages  # noqa: F401  (registers the mixture `three`)

from mtmoe.data.mixing.mixtures import register_weighted_mixture
from mtmoe.data.sources.pairs import PairSource
from mtmoe.data.tasks.card import TaskCard
from mtmoe.data.tasks.registration import register_task

NUM_EXAMPLES = 30
EXAMPLES = [
    {"inputs": f"name {i}", "targets": f"jina {i}"} for i in range(NUM_EXAMPLES)
]


def _add(name: str, language: str, labels: str) -> str:
    source = PairSource(lambda split: EXAMPLES, ["train", "validation"])
    return register_task(name, source, TaskCard("names", language, labels=labels))


register_weighted_mixture(
    "three_and_tasks",
    {
        "three": 1.0,
        _add("three.name.sw", "sw", "gold"): 2.0,
        _add("three.code", "", "rule"): 1.0,
    },
)
"""Half of it is text."""
