"""Staged mixtures: another mixture from a given step on.

SeqIO has no stages. A staged mixture is in its registry all the same, so that it is
found by name like any other and knows its tasks; SeqIO's own sampling of it is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

import seqio

from mtmoe.data.tasks.registration import registration_place
from mtmoe.data.tasks.registry import get_mixture_or_task
from mtmoe.errors import ConfigError
from mtmoe.ranges import Natural, check_number


class Stage(NamedTuple):
    """A part of training with one mixture.

    Attributes:
      start_step: the first step whose batch is of this stage.
      mixture: name of a mixture or task.
    """

    start_step: int
    mixture: str


class StagedMixture(seqio.Mixture):  # type: ignore[misc]
    """A sequence of mixtures, each from a step on.

    Attributes:
      stages: in order; the first starts at step 0.
    """

    def __init__(self, name: str, stages: Sequence[Stage], source_info: Any):
        """Takes checked stages; see `register_staged_mixture`."""
        members = dict.fromkeys(stage.mixture for stage in stages)
        super().__init__(
            name, [(member, 1.0) for member in members], source_info=source_info
        )
        self.stages = tuple(stages)

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise staged_error(self)

    # Rates depend on the step, and SeqIO cannot change a mixture while it runs.
    get_rate = get_dataset = _refuse
    total_rate = property(_refuse)


def register_staged_mixture(name: str, stages: Sequence[tuple[int, str]]) -> str:
    """Registers a mixture that changes at given steps, and returns its name.

    `TrainingBatches` and `mtmoe train` go from one stage to the next; a task that is in
    two of them goes on in the second where it was.

    Args:
      name: the staged mixture's name.
      stages: (start_step, name of a mixture or task), the first from step 0.

    Raises:
      UnknownNameError: nothing is registered under a stage's name.
      ConfigError: steps that do not begin at 0 and increase, or a stage that is staged
        itself.
    """
    checked: list[Stage] = []
    for start_step, mixture in stages:
        check_number(f"staged mixture {name!r}: a stage's step", start_step, Natural)
        provider = get_mixture_or_task(mixture)
        if isinstance(provider, StagedMixture):
            raise ConfigError(
                f"staged mixture {name!r}: stage {mixture!r} has stages itself"
            )
        checked.append(Stage(start_step, provider.name))
    steps = [stage.start_step for stage in checked]
    if steps[:1] != [0] or any(
        later <= earlier for earlier, later in zip(steps, steps[1:], strict=False)
    ):
        raise ConfigError(
            f"staged mixture {name!r}: its stages start at steps {steps}; the first "
            "must start at 0 and each later one after the one before"
        )
    seqio.MixtureRegistry.add_provider(
        name, StagedMixture(name, checked, registration_place())
    )
    return name


def stages_of(name: str) -> tuple[Stage, ...]:
    """Returns the stages of a mixture or task; one, from step 0, if it has none.

    Raises:
      UnknownNameError: nothing is registered under `name`.
    """
    provider = get_mixture_or_task(name)
    if isinstance(provider, StagedMixture):
        return provider.stages
    return (Stage(0, provider.name),)


def staged_error(mixture: StagedMixture) -> ConfigError:
    """Returns the error for a staged mixture where one mixture is needed."""
    return ConfigError(
        f"mixture {mixture.name!r} is staged: its rates depend on the step, which "
        "SeqIO and mixtures around it do not know. Train on it with mtmoe, or use one "
        "of its stages: " + ", ".join(f"{stage.mixture!r}" for stage in mixture.stages)
    )
