"""What a docstring says of a parameter is found where it stands."""

from __future__ import annotations

from mtmoe.config.explain import meaning
from mtmoe.config.registry import Configurable


class Base:
    """A base.

    Attributes:
      width: how wide, in
        columns.
    """


class Engine(Base):
    """An engine.

    Attributes:
      power: in kilowatts: its `most`.

    Raises:
      ValueError: no power.
    """

    def __init__(self, fuel: str):
        """Makes one.

        Args:
          fuel: "oil" or "gas".
        """


def horn(volume: int) -> None:
    """Sounds.

    Args:
      volume: from 1 to 10.
      *others: more.

    Returns:
      nothing: never.
    """


def test_what_a_parameter_means() -> None:
    engine, sound = Configurable("Engine", Engine), Configurable("horn", horn)
    assert meaning(engine, "power") == "in kilowatts: its `most`."
    assert meaning(engine, "width") == "how wide, in columns."
    assert meaning(engine, "fuel") == '"oil" or "gas".'
    assert meaning(sound, "volume") == "from 1 to 10."
    assert meaning(sound, "others") == "more."
    assert meaning(sound, "nothing") == meaning(engine, "ValueError") == ""
