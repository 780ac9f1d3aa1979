"""What a model's layers of experts are configured by."""

from __future__ import annotations

import dataclasses
import math

import gin

from mtmoe.errors import ConfigError, UnknownNameError
from mtmoe.mesh.slots import DispatchMethod, check_method
from mtmoe.model.moe.capacity import (
    Capacity,
    examples_for_few_drops,
    examples_per_group,
    slots_by_factor,
)
from mtmoe.model.moe.routers.interface import PRIORITIES, Priority, Router
from mtmoe.model.moe.routers.switch import SwitchRouter
from mtmoe.ranges import Count, Natural, Rate, check_fields

ROW_PRIORITY: Priority = "position"
PACKED_PRIORITY: Priority = "confidence"
"""Whose a full expert's slots are by default, on rows of one example and packed."""

ROOMY_GROUP = 4096
"""Positions of a group where a large one costs nothing."""
EVEN_PARTS = 8
"""Parts that chosen groups allow a batch to be cut into, if its rows do."""


@gin.configurable
@dataclasses.dataclass(frozen=True)
class MixtureOfExperts:
    """Configuration of a model's layers of experts.

    Attributes:
      num_experts: experts of a layer.
      router: which experts see which tokens.
      capacity: how many tokens an expert takes.
      group_size: most positions, padding included, that compete for the same slots. A
        group is made of whole examples and never of less than one. Large groups drop
        fewer tokens: group_size / num_experts >= 32 keeps the drops of an even router
        below 1 % at a capacity factor of 1.25. Groups are those of the whole batch,
        and never cut, by a layout or by microbatches. None chooses, so that a batch
        that divides by 2, 4 or 8 can be cut so: see `examples_per_group`.
      dropout_rate: dropout of the experts' hidden activations ("expert dropout", Fedus
        et al. 2022, section 2.4), for fine-tuning.
      priority: whose the slots of a full expert are: "position" of the first in the
        group, "confidence" of those with the largest gate; see `RouterInput`. None
        takes confidence where rows are packed, since by position the last language of a
        packed group would be the one that is dropped, and position otherwise.
      dispatch: how tokens move to experts: "gather" or "einsum"; None takes gather, on
        every kind of device.
      shared_d_ff: hidden width of an expert that every token sees beside its own
        (Dai et al. 2024, section 3.2); 0 for none.
    """

    num_experts: Count
    router: Router = dataclasses.field(default_factory=SwitchRouter)
    capacity: Capacity = dataclasses.field(default_factory=Capacity)
    group_size: Count | None = None
    dropout_rate: Rate = 0.0
    priority: Priority | None = None
    dispatch: DispatchMethod | None = None
    shared_d_ff: Natural = 0

    def __post_init__(self) -> None:
        """Checks the ranges and the names."""
        check_fields(self)
        if self.router.num_choices > self.num_experts:
            raise ConfigError(
                f"{type(self.router).__name__} sends each token to "
                f"{self.router.num_choices} different experts, "
                f"MixtureOfExperts.num_experts is {self.num_experts}"
            )
        if self.priority not in (None, *PRIORITIES):
            raise UnknownNameError(
                "priority", self.priority, PRIORITIES, "MixtureOfExperts.priority"
            )
        if self.dispatch is not None:
            check_method(self.dispatch)

    @property
    def dispatch_method(self) -> DispatchMethod:
        """How tokens move: `dispatch`, or gather, on every kind of device."""
        return self.dispatch or "gather"

    def examples_per_group(self, batch_size: int, length: int, d_ff: int) -> int:
        """Returns how many whole examples form a group.

        Where `group_size` is None, groups lie within an eighth of the batch (or within
        the smallest part that 2, 4 or 8 parts may be cut into), so that it can be split
        over as many processors or computed in as many microbatches. In there: with
        gather, whose cost does not depend on it, at least up to `ROOMY_GROUP`
        positions, since the tokens of one language crowd into the same experts and only
        many languages together load them evenly. With einsum, whose one-hot products
        cost group_size / d_ff of the experts' own, as few as keep the expected drops of
        an even router at the training capacity below 1 %, and at most a quarter of d_ff
        positions, if one example has not more. Neither the layout nor the kind of
        device has a say, so that all compute the same.

        Args:
          batch_size: examples of the whole batch, however many microbatches it has.
          length: positions of an example, padding included.
          d_ff: hidden width of an expert.
        """
        if self.group_size is not None:
            return examples_per_group(batch_size, length, self.group_size)
        part = batch_size // math.gcd(batch_size, EVEN_PARTS)
        count = examples_for_few_drops(
            part,
            length,
            self.num_experts,
            self.router.num_choices,
            self.capacity.train_factor,
        )
        if self.dispatch_method == "einsum":
            return min(count, examples_per_group(part, length, d_ff // 4))
        return max(count, examples_per_group(part, length, ROOMY_GROUP))


def capacity_notices(
    config: MixtureOfExperts, group_size: int, where: str
) -> list[str]:
    """Returns a sentence for each factor that `Capacity.minimum` is more than.

    Args:
      config: experts and capacity.
      group_size: positions of a group.
      where: the layers this is about.
    """
    capacity, num_experts = config.capacity, config.num_experts
    sentences = []
    for name in ("train_factor", "evaluation_factor"):
        factor = getattr(capacity, name)
        if factor is None:
            continue
        asked = slots_by_factor(group_size, num_experts, factor)
        given = capacity.slots(group_size, num_experts, name == "train_factor")
        if given > asked:
            amounts_to = given * num_experts / group_size
            sentences.append(
                f"{where}: Capacity.minimum = {capacity.minimum} gives each of "
                f"{num_experts} experts {given} slots in a group of {group_size} "
                f"tokens, where {name} = {factor:g} asks for {asked}; that amounts to "
                f"a factor of {amounts_to:.3g}"
            )
    return sentences
