"""Registers mixtures whose tasks are weighed together, by a policy.

A policy needs all sizes at once; SeqIO asks for one rate at a time. The sizes are read
when the first rate is asked for, never when the mixture is registered.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import seqio

from mtmoe.data.mixing.policies import MixingPolicy
from mtmoe.data.mixing.sizes import task_size
from mtmoe.data.registration import registration_place


def register_mixture(
    name: str, tasks: Sequence[str], policy: Callable[[], MixingPolicy]
) -> str:
    """Registers a mixture of tasks weighed by a policy.

    Args:
      name: the mixture's name.
      tasks: names of registered tasks.
      policy: makes the policy; called when a rate is first asked for, so that what gin
        binds later counts (pass the class, or a `functools.partial` of it).

    Returns:
      The name.
    """
    rates = functools.lru_cache(maxsize=1)(
        functools.partial(_policy_rates, tuple(tasks), policy)
    )

    def rate(task: seqio.Task) -> float:
        return rates()[task.name]

    seqio.MixtureRegistry.add(
        name,
        list(tasks),
        default_rate=rate,
        source_info=registration_place(),
    )
    return name


def register_weighted_mixture(name: str, members: Mapping[str, Any]) -> str:
    """Registers a mixture with a weight for each member, a task or a mixture.

    Args:
      name: the mixture's name.
      members: weight by name of task or mixture. A mixture's weight is shared among
        its tasks in proportion to their rates there.

    Returns:
      The name.
    """
    seqio.MixtureRegistry.add(
        name, list(members.items()), source_info=registration_place()
    )
    return name


def _policy_rates(
    tasks: tuple[str, ...], policy: Callable[[], MixingPolicy]
) -> dict[str, float]:
    chosen = policy()
    sizes = {
        name: task_size(seqio.TaskRegistry.get(name), chosen.unit) for name in tasks
    }
    return chosen.rates(sizes)
