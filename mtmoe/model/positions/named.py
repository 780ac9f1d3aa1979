"""The ways to tell a stack where its tokens are, by name."""

from __future__ import annotations

import dataclasses

from mtmoe.errors import ConfigError, UnknownNameError
from mtmoe.model.positions.absolute import (
    AbsolutePositions,
    LearnedPositions,
    SinusoidalPositions,
)
from mtmoe.model.positions.relative import RelativePositionBias


@dataclasses.dataclass(frozen=True)
class Positions:
    """What a stack does about positions; nothing by default.

    Attributes:
      relative: bias of the attention logits.
      per_layer: whether each layer has a table of its own for it.
      absolute: what is added to the stack's input.
    """

    relative: RelativePositionBias | None = None
    per_layer: bool = False
    absolute: AbsolutePositions | None = None


NAMES = (
    "relative_bias",
    "relative_bias_per_layer",
    "sinusoidal",
    "learned",
    "none",
)


def named_positions(
    name: str, relative: RelativePositionBias, max_positions: int
) -> Positions:
    """Returns the positions of that name.

    Args:
      name: one of `NAMES`.
      relative: the bias, for the names that want one.
      max_positions: places that "learned" has vectors for.

    Raises:
      UnknownNameError: there is no such name.
      ConfigError: there are no places to learn.
    """
    if name not in NAMES:
        raise UnknownNameError("positions", name, NAMES)
    if name == "learned" and max_positions < 1:
        raise ConfigError(
            "learned positions need max_positions, the most places of a row, got "
            f"{max_positions}"
        )
    if name == "learned":
        return Positions(absolute=LearnedPositions(max_positions))
    return {
        "relative_bias": Positions(relative),
        "relative_bias_per_layer": Positions(relative, per_layer=True),
        "sinusoidal": Positions(absolute=SinusoidalPositions()),
        "none": Positions(),
    }[name]
