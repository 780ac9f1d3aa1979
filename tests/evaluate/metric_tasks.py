"""Registers three small supervised tasks with metrics of their own."""

from __future__ import annotations

from collections.abc import Sequence

import three_languages  # noqa: F401  (registers the mixture `three`)

from mtmoe.data.metrics.classification import macro_f1
from mtmoe.data.metrics.generation import chrf_plus_plus
from mtmoe.data.metrics.qa import exact_match
from mtmoe.data.mixing.mixtures import register_weighted_mixture
from mtmoe.data.sources.pairs import PairSource
from mtmoe.data.tasks.card import TaskCard
from mtmoe.data.tasks.registration import register_task

NAMES = [{"inputs": f"name {i}", "targets": f"jina {i}"} for i in range(5)]
ANSWERS = [
    {"inputs": f"is {i} odd", "targets": "yes" if i % 2 else "no", "word": f"w{i}"}
    for i in range(6)
]
CHOICES = [
    {"inputs": f"question {i // 2}", "targets": f"answer {i % 2}", "right": str(i % 2)}
    for i in range(6)
]


def first_word(text, example=None, is_target=False):
    """A postprocessor that looks at the example, as SeqIO lets it."""
    assert example["word"].startswith(b"w") and example["inputs_pretokenized"]
    return text.split()[0] if text.split() else ""


def is_right(text, example=None, is_target=False):
    """Whether an example is the right choice of its question."""
    assert is_target
    return example["right"] == b"1"


def rank_accuracy(targets: Sequence[bool], scores: Sequence[float]) -> dict[str, float]:
    """How often the right one of two neighbours has the higher score."""
    pairs = zip(targets[::2], scores[::2], targets[1::2], scores[1::2], strict=True)
    hits = [(a > b) == (left > right) for left, a, right, b in pairs]
    return {"rank_accuracy": 100.0 * sum(hits) / len(hits)}


def _add(name, examples, metrics, postprocess=None):
    source = PairSource(lambda split: examples, ["train", "validation"])
    card = TaskCard("names", "sw", labels="gold")
    return register_task(name, source, card, metrics=metrics, postprocess=postprocess)


register_weighted_mixture(
    "with_metrics",
    {
        "three": 1.0,
        _add("metrics.name.sw", NAMES, [exact_match, chrf_plus_plus]): 1.0,
        _add("metrics.answer.sw", ANSWERS, [exact_match, macro_f1], first_word): 1.0,
        _add("metrics.choice.sw", CHOICES, [rank_accuracy], is_right): 1.0,
    },
)
"""Text beside them."""
