"""How many tokens an expert takes, and the groups of tokens it takes them from."""

from __future__ import annotations

import dataclasses
import math
from fractions import Fraction

import gin

from mtmoe.errors import ConfigError, LayoutError


@gin.configurable
@dataclasses.dataclass(frozen=True)
class Capacity:
    """Slots of an expert per group: ceil(group_size * factor / num_experts).

    Switch Transformer (Fedus et al. 2022), equation 3, which leaves the rounding open.
    Rounding up never gives an expert less than the factor asks for; Mesh TensorFlow
    rounds down, flaxformer to the nearest.

    Attributes:
      train_factor: slack over a perfectly even load while training.
      evaluation_factor: slack otherwise; None is enough for every token whatever the
        router does, so that nothing is dropped.
      minimum: least number of slots; small groups overflow easily. An expert never has
        more slots than the group has tokens.
    """

    train_factor: float = 1.25
    evaluation_factor: float | None = 2.0
    minimum: int = 4

    def __post_init__(self) -> None:
        """Checks that the factors are positive."""
        for name in ("train_factor", "evaluation_factor"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ConfigError(f"Capacity.{name} must be positive, got {value}")
        if self.minimum < 1:
            raise ConfigError(
                f"Capacity.minimum must be at least 1, got {self.minimum}"
            )

    def slots(self, group_size: int, num_experts: int, training: bool) -> int:
        """Returns the number of slots of one expert in one group.

        Args:
          group_size: tokens of a group.
          num_experts: number of experts.
          training: which factor to take.
        """
        factor = self.train_factor if training else self.evaluation_factor
        if factor is None:
            return group_size
        # As a fraction: 1.1 * 10 is a hair above 11 in binary and would round up to 12.
        exact = Fraction(factor).limit_denominator(10_000)
        wanted = math.ceil(group_size * exact / num_experts)
        return min(max(wanted, self.minimum), group_size)


def examples_per_group(batch_size: int, length: int, group_size: int) -> int:
    """Returns how many whole examples form a group.

    The most that divide the batch evenly and have at most `group_size` positions
    together, at least one. It depends on the batch alone, not on the layout, so that
    every layout computes the same.

    Args:
      batch_size: examples of the batch.
      length: positions of an example, padding included.
      group_size: upper bound on the positions of a group.
    """
    bound = max(1, min(batch_size, group_size // length))
    return max(count for count in range(1, bound + 1) if batch_size % count == 0)


def check_groups_split(num_groups: int, num_parts: int, where: str) -> None:
    """Refuses a layout that would cut through a group.

    Args:
      num_groups: groups in a batch.
      num_parts: number of parts the layout splits the batch into.
      where: the layer, for the message.

    Raises:
      LayoutError: the groups cannot be dealt out evenly.
    """
    if num_groups % num_parts:
        raise LayoutError(
            f"{where}: the layout splits `batch` into {num_parts} parts, but the batch "
            f"has {num_groups} routing group(s), which cannot be cut; lower "
            "MixtureOfExperts.group_size (tokens) or change the batch size so that the "
            f"number of groups is a multiple of {num_parts}"
        )
