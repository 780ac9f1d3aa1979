"""Mixing policies: from how much there is of each task to how much of it is sampled.

A policy is a frozen dataclass with `rates(sizes) -> dict`; only ratios of rates matter.
What a policy counts is its `unit`: `examples` as the data set has them (pages, of web
text), `characters` or `tokens` of the training split.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import gin

from mtmoe.errors import ConfigError, nearest_names
from mtmoe.ranges import Fraction, NonNegative, Positive, check_fields

UNITS = ("examples", "characters", "tokens")


class MixingPolicy(Protocol):
    """What a mixture needs to know to weigh its tasks; equal policies weigh alike."""

    @property
    def unit(self) -> str:
        """What sizes are counted in: one of `UNITS`."""

    def rates(self, sizes: Mapping[str, float]) -> dict[str, float]:
        """Returns a positive rate for each task, given its positive size in `unit`."""


@gin.configurable
@dataclass(frozen=True)
class ExamplesProportional:
    """rate = min(n, K): Raffel et al. 2020, section 3.5.2.

    Attributes:
      maximum: K, the cap on a task's size; None for no cap.
      unit: what n counts, one of `UNITS`.
    """

    maximum: Positive | None = None
    unit: str = "examples"

    def __post_init__(self) -> None:
        _check_unit(self)
        check_fields(self)

    def rates(self, sizes: Mapping[str, float]) -> dict[str, float]:
        """Returns each task's size, capped."""
        cap = float("inf") if self.maximum is None else self.maximum
        return {name: float(min(size, cap)) for name, size in sizes.items()}


@gin.configurable
@dataclass(frozen=True)
class Temperature:
    """rate = n^alpha, alpha = 1 / temperature: Xue et al. 2021, section 3.1.

    Attributes:
      alpha: exponent; 1 samples in proportion to size, 0 every task alike.
      unit: what n counts, one of `UNITS`.
    """

    alpha: Fraction = 0.3
    unit: str = "examples"

    def __post_init__(self) -> None:
        _check_unit(self)
        check_fields(self)

    def rates(self, sizes: Mapping[str, float]) -> dict[str, float]:
        """Returns each task's size to the power alpha."""
        return {name: float(size) ** self.alpha for name, size in sizes.items()}


@gin.configurable
@dataclass(frozen=True)
class UniMax:
    """As even as an epoch cap allows: Chung et al. 2023, algorithm 1.

    The budget is divided evenly, smallest task first; a task whose even part would be
    more than `max_epochs` passes over it gets those passes, and what it leaves is
    divided among the larger ones.

    Attributes:
      budget: what is trained on in all, in `unit`; the paper's is tokens x 4 for
        characters.
      max_epochs: N, the most passes over a task.
      unit: what the budget and the sizes count.
    """

    budget: NonNegative = 0.0
    max_epochs: Positive = 1.0
    unit: str = "characters"

    def __post_init__(self) -> None:
        _check_unit(self)
        check_fields(self)
        if not self.budget:
            raise ConfigError(
                f"UniMax.budget is {self.budget:g}; it must be given, in {self.unit}: "
                "--gin_param='UniMax.budget=1e9'"
            )

    def rates(self, sizes: Mapping[str, float]) -> dict[str, float]:
        """Returns the part of the budget that each task gets.

        Raises:
          ConfigError: the budget is more than all tasks give in `max_epochs` passes, so
            that no division keeps the cap.
        """
        most = self.max_epochs * sum(sizes.values())
        if self.budget > most:
            raise ConfigError(
                f"UniMax.budget is {self.budget:g} {self.unit}, but "
                f"{self.max_epochs:g} passes over all {len(sizes)} tasks are only "
                f"{most:g}; lower the budget or raise UniMax.max_epochs"
            )
        left = float(self.budget)
        rates: dict[str, float] = {}
        ascending = sorted(sizes, key=lambda name: sizes[name])
        for done, name in enumerate(ascending):
            even_part = left / (len(ascending) - done)
            rates[name] = min(even_part, self.max_epochs * sizes[name])
            left -= rates[name]
        return {name: rates[name] for name in sizes}


def _check_unit(policy: MixingPolicy) -> None:
    if policy.unit not in UNITS:
        nearest = nearest_names(policy.unit, UNITS)
        raise ConfigError(
            f"{type(policy).__name__}.unit is {policy.unit!r}; allowed: "
            + ", ".join(UNITS)
            + (f"; did you mean {nearest[0]}?" if nearest else "")
        )
