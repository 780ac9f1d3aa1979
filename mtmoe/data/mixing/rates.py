"""Mixing rates of a mixture's tasks, with the mixtures inside it resolved.

SeqIO's own arithmetic, step by step, so that the shares are the same numbers: a
mixture's weight inside another is divided among its tasks in proportion to their rates.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import seqio

from mtmoe.data.mixing.mixtures import check_tasks_once, submixture_rate_error
from mtmoe.data.mixing.stages import StagedMixture, staged_error, stages_of
from mtmoe.data.tasks.registry import get_mixture_or_task
from mtmoe.errors import ConfigError


class FlatMember(NamedTuple):
    """The way on which a mixture reaches a task.

    Attributes:
      task: the task's name.
      share: fraction of the mixture's examples that come this way.
      path: names of the mixtures on the way, outermost first; empty for a task alone.
    """

    task: str
    share: float
    path: tuple[str, ...]


def flatten(name: str) -> tuple[FlatMember, ...]:
    """Returns each task's way through a mixture and those inside it, by task.

    Shares sum to 1; tasks of rate 0 are left out. A task's name gives the task alone.

    Raises:
      UnknownNameError: nothing is registered under `name`.
      ConfigError: a rate that cannot be used, a task that is there twice, or a staged
        mixture.
    """
    provider = get_mixture_or_task(name)
    if isinstance(provider, seqio.Task):
        return (FlatMember(provider.name, 1.0, ()),)
    rates = sorted(_flat_rates(provider, ()))
    check_tasks_once(provider)
    total = sum(rate for _, _, rate in rates)
    if not total:
        raise ConfigError(f"mixture {name!r} has no task with a positive rate")
    return tuple(
        FlatMember(task, rate / total, path) for task, path, rate in rates if rate
    )


def task_rates(provider: seqio.Task | seqio.Mixture) -> dict[str, float]:
    """Evaluates the rate of each task of a mixture, sub-mixtures resolved.

    Returns:
      Rate by task name, in SeqIO's order of tasks; tasks of rate 0 are left out. The
      rate of a single task is 1.

    Raises:
      ConfigError: a rate that cannot be used, a task that is there twice, or a staged
        mixture.
    """
    if isinstance(provider, seqio.Task):
        return {provider.name: 1.0}
    rates = {task: rate for task, _, rate in _flat_rates(provider, ())}
    check_tasks_once(provider)
    names = [task.name for task in provider.tasks]
    return {name: rates[name] for name in names if rates[name] != 0}


def mean_rates(name: str, steps: int) -> dict[str, float]:
    """Returns a mixture's rates, those of its stages averaged over a run's steps.

    Raises:
      UnknownNameError: nothing is registered under `name`.
      ConfigError: a rate that cannot be used.
    """
    stages = stages_of(name)
    if len(stages) == 1:
        return task_rates(get_mixture_or_task(stages[0].mixture))
    ends = [*(stage.start_step for stage in stages[1:]), steps]
    means: dict[str, float] = {}
    for stage, end in zip(stages, ends, strict=True):
        length = max(min(end, steps) - stage.start_step, 0) / steps
        rates = task_rates(get_mixture_or_task(stage.mixture))
        for task, rate in rates.items():
            part = length * rate / sum(rates.values())
            means[task] = means.get(task, 0.0) + part
    return {task: mean for task, mean in sorted(means.items()) if mean}


def _flat_rates(
    mixture: seqio.Mixture, outside: tuple[str, ...]
) -> Iterator[tuple[str, tuple[str, ...], float]]:
    """Yields (task, path, rate) of every way to a task."""
    if isinstance(mixture, StagedMixture):
        raise staged_error(mixture)
    path = (*outside, mixture.name)
    for name, weight in mixture.rate_per_task_name.items():
        member = mixture._task_map[name]
        if isinstance(member, seqio.Task):
            rate = float(weight(member) if callable(weight) else weight)
            yield member.name, path, _checked(rate, mixture, member)
            continue
        if callable(weight):
            raise submixture_rate_error(mixture.name, member.name)
        inside = list(_flat_rates(member, path))
        total = sum(rate for _, _, rate in inside)
        if not total:
            raise ConfigError(
                f"mixture {member.name!r}, in {mixture.name!r}, has no task with a "
                "positive rate"
            )
        outer = _checked(float(weight), mixture, member)
        for task, way, rate in inside:
            yield task, way, outer * rate / total


def _checked(
    rate: float, mixture: seqio.Mixture, member: seqio.Task | seqio.Mixture
) -> float:
    if not (math.isfinite(rate) and rate >= 0):
        raise ConfigError(
            f"mixing rate of task {member.name!r} in {mixture.name!r} is {rate}; it "
            "must be positive and finite, or 0 to leave it out"
        )
    return rate
