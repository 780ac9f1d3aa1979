"""What a stack keeps between the steps of decoding."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from mtmoe.mesh.compat import mtf
from mtmoe.model.sublayer import MemoryMask, State


@dataclasses.dataclass(frozen=True)
class StackState:
    """What a decoder knows of the places before the one it is at.

    Attributes:
      states: of every sublayer, by entry; places not written yet hold zeros.
      visible: float32 [batch, memory_length], 1 at places that hold a token.
      memory_mask: which places of the memory are seen; None without a memory.
      num_before: places that were filled before the first step.
    """

    states: tuple[tuple[State, ...], ...]
    visible: mtf.Tensor
    memory_mask: MemoryMask | None = None
    num_before: int = 0

    def tensors(self) -> list[mtf.Tensor]:
        """Returns what changes from step to step, as the state of a loop."""
        states = [state for entry in self.states for state in entry]
        return [self.visible, *(x for state in states for x in state.changing)]

    def with_tensors(self, tensors: Sequence[mtf.Tensor]) -> StackState:
        """Returns this state with other values of `tensors()`."""
        visible, *changing = tensors
        rest = iter(changing)

        def changed(state: State) -> State:
            new = tuple(next(rest) for _ in state.changing)
            return dataclasses.replace(state, changing=new)

        states = tuple(tuple(map(changed, entry)) for entry in self.states)
        return dataclasses.replace(self, states=states, visible=visible)
