"""Mixing policies: from how much there is of each task to how much of it is sampled.

A policy is a frozen dataclass with `rates(sizes) -> dict`; only ratios of rates matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import gin

from mtmoe.errors import ConfigError

UNITS = ("examples", "characters", "tokens")


class MixingPolicy(Protocol):
    """What a mixture needs to know to weigh its tasks."""

    @property
    def unit(self) -> str:
        """What sizes are counted in: one of `UNITS`."""

    def rates(self, sizes: Mapping[str, float]) -> dict[str, float]:
        """Returns a positive rate for each task.

        Args:
          sizes: size of each task in `unit`, positive.
        """


@gin.configurable
@dataclass(frozen=True)
class ExamplesProportional:
    """rate = min(n, K): Raffel et al. 2020, section 3.5.2.

    Attributes:
      maximum: K, the cap on a task's size; None for no cap.
      unit: what n counts.
    """

    maximum: float | None = None
    unit: str = "examples"

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
      unit: what n counts.
    """

    alpha: float = 0.3
    unit: str = "examples"

    def __post_init__(self) -> None:
        """Checks the exponent.

        Raises:
          ConfigError: alpha is out of range.
        """
        if not 0.0 <= self.alpha <= 1.0:
            raise ConfigError(f"Temperature.alpha is {self.alpha}; allowed: 0 to 1")

    def rates(self, sizes: Mapping[str, float]) -> dict[str, float]:
        """Returns each task's size to the power alpha."""
        return {name: float(size) ** self.alpha for name, size in sizes.items()}
