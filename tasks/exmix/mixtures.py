"""Mixtures of the ExMix-style tasks (Aribandi et al. 2022), alone and with C4.

    exmix            the 107 tasks, each with rate min(n, K)
    exmix.FAMILY     those of one family, likewise: exmix.nli, exmix.summarization ...
    ext5             span corruption on C4 and exmix, R examples to 1

n is a task's count of training examples, or what `ASSUMED_TRAIN_EXAMPLES` says of the
seven rows without one. The numbers K = 3e5 and R = 2 are RECALLED AND UNCERTAIN: the
paper's table was not at hand. Both are gin parameters:

    exmix_policy.maximum = 3e5
    ext5_c4_rate.ratio = 2.0

The 42 tasks beyond the 107 (`extra.NAME`) are in none of these.

R counts examples. One of C4 is as long as fits, one of classification a few dozen
tokens: of the tokens, supervised tasks get far less than a third.
"""

from __future__ import annotations

import importlib

import gin
import seqio

from mtmoe.data.mixing.mixtures import register_mixture, register_weighted_mixture
from mtmoe.data.mixing.policies import ExamplesProportional
from mtmoe.data.tasks.card import FAMILIES, task_card
from mtmoe.ranges import NonNegative, Positive, checked
from mtmoe.tasks.exmix.rows import ROWS

RATE_CAP = 3e5
"""K: recalled, moderately sure."""

C4_RATIO = 2.0
"""R: recalled."""

C4_TASK = "c4.en"

FAMILY_MODULES = (
    "classification",
    "tweet_eval",
    "nli",
    "paraphrase",
    "commonsense",
    "kilt",
    "closed_book_qa",
    "reading_comprehension",
    "summarization",
    "generation",
    "style",
    "semantic_parsing",
    "dialogue",
    "tagging",
    "mathematics",
    "coreference",
    "instructions",
)
"""The modules beside this one that register the rows."""


@gin.configurable
@checked
def exmix_policy(maximum: Positive = RATE_CAP) -> ExamplesProportional:
    """Returns how the tasks of exmix and of its families are weighed.

    Args:
      maximum: K, the cap on a task's count of examples. The default is recalled and
        uncertain.
    """
    return ExamplesProportional(maximum=maximum)


@gin.configurable
@checked
def ext5_c4_rate(task: seqio.Task, ratio: NonNegative = C4_RATIO) -> float:
    """Returns the rate of C4 in ext5, where all of exmix has rate 1.

    Args:
      task: C4's.
      ratio: R, examples of C4 to one of exmix: C4 gives R / (R + 1) of all examples.
        The default is recalled and uncertain.

    Raises:
      RangeError: the ratio is out of range.
    """
    return ratio


def _register_all() -> None:
    for module in FAMILY_MODULES:
        importlib.import_module(f"mtmoe.tasks.exmix.{module}")
    importlib.import_module("mtmoe.tasks.pretraining.c4")


def exmix_tasks(family: str = "") -> list[str]:
    """Returns the names of the 107 tasks, or of those of a family."""
    names = [row.task_name for row in ROWS.values() if row.certainty != "extra"]
    if not family:
        return names
    return [
        name
        for name in names
        if task_card(seqio.TaskRegistry.get(name)).family == family
    ]


_register_all()
register_mixture("exmix", exmix_tasks(), exmix_policy)
for _family in FAMILIES:
    if _tasks := exmix_tasks(_family):
        register_mixture(f"exmix.{_family}", _tasks, exmix_policy)
register_weighted_mixture("ext5", {"exmix": 1.0, C4_TASK: ext5_c4_rate})
