"""How much there is of a task: examples, characters or tokens of its training split."""

from __future__ import annotations

import seqio

from mtmoe.data.sources.text import TextSource
from mtmoe.data.task_card import task_card
from mtmoe.errors import ConfigError


def task_size(task: seqio.Task, unit: str) -> float:
    """Returns the size of a task's training split.

    What the card says is taken before the data is read.

    Args:
      task: a registered task.
      unit: `examples`, `characters` or `tokens`.

    Raises:
      ConfigError: neither the card nor the source tells.
    """
    card = task_card(task)
    if unit == "examples" and card.train_examples:
        return float(card.train_examples)
    if unit == "characters" and card.train_characters:
        return float(card.train_characters)
    if unit == "characters" and isinstance(task.source, TextSource):
        return float(task.source.num_characters("train"))
    if unit == "examples" and "train" in task.splits:
        count = task.source.num_input_examples("train")
        if count:
            return float(count)
    raise ConfigError(f"task {task.name!r} has no count of training {unit}")
