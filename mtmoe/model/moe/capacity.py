"""How many tokens an expert takes, and the groups of tokens it takes them from."""

from __future__ import annotations

import dataclasses
import math
from fractions import Fraction

import gin

from mtmoe.errors import ConfigError
from mtmoe.ranges import Count, Positive, check_fields

MOST_DROPS = 0.01
"""Fraction of an even router's choices that a group chosen here may drop."""


@gin.configurable
@dataclasses.dataclass(frozen=True)
class Capacity:
    """Slots of an expert per group: ceil(group_size * factor / num_experts).

    Switch Transformer (Fedus et al. 2022), equation 3, which leaves the rounding open.
    Rounding up never gives an expert less than the factor asks for; Mesh TensorFlow
    rounds down, flaxformer to the nearest. The factor counts tokens, not choices: two
    experts a token need twice the factor, as in GShard (Lepikhin et al. 2021).

    Attributes:
      train_factor: slack over a perfectly even load while training.
      evaluation_factor: slack otherwise; None is enough for every token whatever the
        router does, so that nothing is dropped.
      minimum: least number of slots; small groups overflow easily. An expert never has
        more slots than the group has tokens.
    """

    train_factor: Positive = 1.25
    evaluation_factor: Positive | None = 2.0
    minimum: Count = 4

    def __post_init__(self) -> None:
        """Checks the ranges."""
        check_fields(self)

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
        wanted = slots_by_factor(group_size, num_experts, factor)
        return min(max(wanted, self.minimum), group_size)


def slots_by_factor(group_size: int, num_experts: int, factor: float) -> int:
    """Returns ceil(group_size * factor / num_experts), by the factor as written."""
    # As a fraction: 1.1 * 10 is a hair above 11 in binary and would round up to 12.
    exact = Fraction(factor).limit_denominator(10_000)
    return math.ceil(group_size * exact / num_experts)


def expected_drops(
    group_size: int, num_experts: int, num_choices: int, slots: int
) -> float:
    """Returns the fraction of choices that an even router drops.

    Every token chooses `num_choices` different experts, all sets equally likely, so an
    expert's load is binomial: E[max(0, load - slots)] / E[load].

    Args:
      group_size: tokens of a group.
      num_experts: number of experts.
      num_choices: experts a token asks for.
      slots: slots of an expert.
    """
    p = num_choices / num_experts
    if p >= 1.0:
        return max(0.0, 1.0 - slots / group_size)
    if slots >= group_size:
        return 0.0
    load = slots + 1
    log_probability = (
        math.lgamma(group_size + 1)
        - math.lgamma(load + 1)
        - math.lgamma(group_size - load + 1)
        + load * math.log(p)
        + (group_size - load) * math.log1p(-p)
    )
    odds, mean, excess = p / (1.0 - p), group_size * p, 0.0
    for load in range(slots + 1, group_size + 1):
        term = math.exp(log_probability) * (load - slots)
        excess += term
        if load == group_size or (load > mean and term < 1e-12 * mean):
            break
        log_probability += math.log((group_size - load) * odds / (load + 1))
    return excess / mean


def examples_per_group(batch_size: int, length: int, group_size: int) -> int:
    """Returns how many whole examples form a group of at most `group_size` positions.

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


def examples_for_few_drops(
    batch_size: int, length: int, num_experts: int, num_choices: int, factor: float
) -> int:
    """Returns how many whole examples form a group that is as large as it need be.

    The fewest that divide the batch evenly with which an even router drops less than
    1 % (`MOST_DROPS`) more than it would in a group without end, where a factor below
    the number of choices drops the rest; the whole batch if none do. Rounding the
    slots up and `Capacity.minimum`, which help small groups at the price of empty
    slots, are left out of account.

    Args:
      batch_size: examples of the batch.
      length: positions of an example, padding included.
      num_experts: number of experts.
      num_choices: experts a token asks for.
      factor: capacity factor.
    """
    unavoidable = max(0.0, 1.0 - factor / num_choices)
    for count in range(1, batch_size):
        group_size = count * length
        slots = math.floor(group_size * factor / num_experts)
        if batch_size % count == 0 and slots > 0:
            drops = expected_drops(group_size, num_experts, num_choices, slots)
            if drops < MOST_DROPS + unavoidable:
                return count
    return batch_size


def check_groups_within(
    part_rows: int, group_rows: int, length: int, where: str
) -> None:
    """Refuses microbatches that would cut through a group of the whole batch.

    Args:
      part_rows: rows of a microbatch, or of the batch where it is in one piece.
      group_rows: rows of a group.
      length: positions of a row.
      where: the layers, for the message.

    Raises:
      ConfigError: a part does not hold whole groups.
    """
    if part_rows % group_rows:
        raise ConfigError(
            f"{where}: a routing group has {group_rows} rows of {length} positions, "
            f"and a microbatch has {part_rows} rows, which are not whole groups; lower "
            f"MixtureOfExperts.group_size to {part_rows * length} at most (the groups, "
            "and so the results, are then others with any number of microbatches), or "
            "take fewer train.microbatches"
        )
