"""Mixing rates: how much of a mixture each task supplies.

A rate function takes a `seqio.Task` and returns a number in any unit; SeqIO calls it
when the rate is needed, not when the mixture is registered.
"""

from __future__ import annotations

from typing import cast

import gin
import seqio

from mtmoe.data.sources.text import TextSource
from mtmoe.errors import ConfigError


@gin.configurable
def rate_num_characters(task: seqio.Task, alpha: float = 0.3) -> float:
    """Returns n^alpha for a task of n training characters.

    Sampling with p ~ n^alpha as in mT5 (Xue et al. 2021, section 3.1, alpha = 0.3);
    alpha 1 samples in proportion to the text there is, alpha 0 every task alike.

    Args:
      task: a task over a `TextSource` with a `train` split.
      alpha: exponent, from 0 to 1.

    Raises:
      ConfigError: the task's source is no `TextSource`, or alpha is out of range.
    """
    if not 0.0 <= alpha <= 1.0:
        raise ConfigError(f"rate_num_characters.alpha is {alpha}; allowed: 0 to 1")
    if not isinstance(task.source, TextSource):
        raise ConfigError(
            f"task {task.name!r} has no count of characters: its source is "
            f"{type(task.source).__name__}, not TextSource; give its rate as a number"
        )
    return float(task.source.num_characters("train") ** alpha)


def task_rates(provider: seqio.Task | seqio.Mixture) -> dict[str, float]:
    """Evaluates the rate of each task of a mixture, sub-mixtures resolved.

    Args:
      provider: a mixture, or a single task, whose rate is then 1.

    Returns:
      rate by task name, in SeqIO's order of tasks; tasks of rate 0 are left out.
    """
    if isinstance(provider, seqio.Task):
        return {provider.name: 1.0}
    rates = {task.name: cast(float, provider.get_rate(task)) for task in provider.tasks}
    return {name: rate for name, rate in rates.items() if rate != 0}
