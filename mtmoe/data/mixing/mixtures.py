"""Registers mixtures: tasks weighed by a policy, or members with weights by hand.

A policy needs all sizes at once; SeqIO asks for one rate at a time. The sizes are read
when a rate is asked for, never when the mixture is registered.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import gin
import seqio

from mtmoe.data.mixing.policies import MixingPolicy
from mtmoe.data.mixing.sizes import task_size
from mtmoe.data.mixing.stages import StagedMixture
from mtmoe.data.tasks.registration import registration_place
from mtmoe.data.tasks.registry import get_mixture_or_task
from mtmoe.errors import ConfigError
from mtmoe.ranges import NonNegative, check_number


@gin.configurable(denylist=["registered"])
def mixing_policy(
    registered: Callable[[], MixingPolicy],
    policy: Callable[[], MixingPolicy] | None = None,
) -> MixingPolicy:
    """Makes a mixture's policy: the one it is registered with, or gin's choice.

    In gin, for the mixture `mc4`: `mc4/mixing_policy.policy = @UniMax`.
    """
    return (policy or registered)()


def register_mixture(
    name: str, tasks: Sequence[str], policy: Callable[[], MixingPolicy]
) -> str:
    """Registers a mixture of tasks weighed by a policy, and returns its name.

    The policy is made inside the gin scope `mixture_scope(name)`, so that two mixtures
    can have different numbers: `embedded_span_corruption/Temperature.alpha = 0.3`. What
    is bound without a scope holds for all mixtures. `mixing_policy.policy` puts another
    policy in its place.

    Args:
      name: the mixture's name.
      tasks: names of registered tasks.
      policy: makes the policy; called when a rate is asked for, so that what gin binds
        later counts (pass the class, or a `functools.partial` of it).

    Raises:
      UnknownNameError: no such task; the message has the nearest names.
      ConfigError: a member is a mixture, or is named twice.
    """
    members = [get_mixture_or_task(task) for task in tasks]
    for member in members:
        if isinstance(member, seqio.Mixture):
            raise ConfigError(
                f"mixture {name!r}: member {member.name!r} is a mixture, and a policy "
                "weighs tasks; name its tasks, or use register_weighted_mixture"
            )
    names = _names_once(name, members)
    seqio.MixtureRegistry.add(
        name,
        names,
        default_rate=PolicyRate(name, tuple(names), policy),
        source_info=registration_place(),
    )
    return name


def register_weighted_mixture(name: str, members: Mapping[str, Any]) -> str:
    """Registers a mixture with a weight for each member, and returns its name.

    Args:
      name: the mixture's name.
      members: weight by name of task or mixture. A mixture's weight is a number, shared
        among its tasks in proportion to their rates there; a task's may also be a
        function of the task that returns one.

    Raises:
      UnknownNameError: no such member; the message has the nearest names.
      ConfigError: a mixture's weight is a function, a weight is out of range, or a task
        would be in the mixture twice.
    """
    providers = [get_mixture_or_task(member) for member in members]
    for provider, weight in zip(providers, members.values(), strict=True):
        if isinstance(provider, seqio.Mixture) and callable(weight):
            raise submixture_rate_error(name, provider.name)
        if not callable(weight):
            weight_of = f"mixture {name!r}: the weight of {provider.name!r}"
            check_number(weight_of, weight, NonNegative)
    weights = zip(_names_once(name, providers), members.values(), strict=True)
    mixture = seqio.Mixture(name, list(weights), source_info=registration_place())
    check_tasks_once(mixture)
    seqio.MixtureRegistry.add_provider(name, mixture)
    return name


def mixture_scope(name: str) -> str:
    """Returns the gin scope of a mixture's policy: its name, `_` for `.` and `-`."""
    scope = re.sub(r"\W", "_", name)
    return f"_{scope}" if scope[:1].isdigit() else scope


def submixture_rate_error(mixture: str, member: str) -> ConfigError:
    """Returns the error for a mixture whose rate is a function inside another one."""
    return ConfigError(
        f"mixture {mixture!r} gives its member {member!r} a function for a rate, but "
        f"{member!r} is a mixture: only tasks are asked for rates. Give it a number, "
        "or register a mixture of its tasks with a policy"
    )


class PolicyRate:
    """The rate of each task of a mixture by its policy, as SeqIO asks for it.

    Rates are remembered as long as the policy and the task's size stay as they are, so
    that asking for every task's rate reads every size twice, not once for each pair.
    """

    def __init__(
        self, mixture: str, tasks: tuple[str, ...], policy: Callable[[], MixingPolicy]
    ):
        self._scope = mixture_scope(mixture)
        self._tasks = tasks
        self._make_policy = policy
        self._known: tuple[MixingPolicy, dict[str, float], dict[str, float]] | None
        self._known = None

    @property
    def policy(self) -> MixingPolicy:
        """The policy, as gin is configured now."""
        with gin.config_scope([self._scope]):
            return mixing_policy(self._make_policy)

    def __call__(self, task: seqio.Task) -> float:
        """Returns the rate of a task of the mixture."""
        policy = self.policy
        size = task_size(task, policy.unit)
        if (
            self._known is None
            or self._known[0] != policy
            or self._known[1][task.name] != size
        ):
            sizes = {
                name: task_size(seqio.TaskRegistry.get(name), policy.unit)
                for name in self._tasks
            }
            self._known = policy, sizes, policy.rates(sizes)
        return self._known[2][task.name]


def check_tasks_once(mixture: seqio.Mixture) -> None:
    """Checks that no task is in a mixture twice; SeqIO would add the rates silently.

    Raises:
      ConfigError: one is; the message names both ways.
    """
    ways: dict[str, str] = {}
    for task, way in _ways(mixture, ""):
        if task in ways:
            raise ConfigError(
                f"mixture {mixture.name!r} has the task {task!r} twice: in {ways[task]}"
                f" and in {way}. Give it one place, with the rate it is to have"
            )
        ways[task] = way


def _ways(mixture: seqio.Mixture, outside: str) -> Iterator[tuple[str, str]]:
    """Yields each task of a mixture with the way to it, "outer > inner"."""
    way = f"{outside} > {mixture.name}" if outside else mixture.name
    for task in mixture._tasks:
        yield task.name, way
    for inner in mixture._sub_mixtures:
        if not isinstance(inner, StagedMixture):  # whose stages may have it again
            yield from _ways(inner, way)


def _names_once(
    mixture: str, members: Sequence[seqio.Task | seqio.Mixture]
) -> list[str]:
    """Returns the members' own names: SeqIO finds no rate under an alias."""
    names = [member.name for member in members]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"mixture {mixture!r} has {name!r} twice")
    return names
