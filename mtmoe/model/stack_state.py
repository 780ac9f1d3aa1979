"""What a stack is given to look at, and what it keeps between steps."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from mtmoe.mesh.compat import mtf
from mtmoe.model.attention.multi_head import KeyValues
from mtmoe.model.features import Tokens


@dataclasses.dataclass(frozen=True)
class Memory:
    """What a decoder looks at.

    Attributes:
      values: [batch, length, d_model], the encoder's output.
      tokens: what it was computed from.
    """

    values: mtf.Tensor
    tokens: Tokens


@dataclasses.dataclass(frozen=True)
class StackState:
    """What a decoder knows of the places before the one it is at.

    Attributes:
      caches: keys and values of self-attention, one a layer; places not written yet
        hold zeros.
      visible: float32 [batch, memory_length], 1 at places that hold a token.
      memories: keys and values of cross-attention, one a layer; none without a memory.
      memory_bias: [batch, memory_length], hides the memory's padding; None without a
        memory.
      sees_memory: [batch], 0 where all of the memory is padding; None without a memory.
      num_before: places that were filled before the first step.
    """

    caches: tuple[KeyValues, ...]
    visible: mtf.Tensor
    memories: tuple[KeyValues, ...] = ()
    memory_bias: mtf.Tensor | None = None
    sees_memory: mtf.Tensor | None = None
    num_before: int = 0

    def tensors(self) -> list[mtf.Tensor]:
        """Returns what changes from step to step, as the state of a loop."""
        caches = [x for cache in self.caches for x in (cache.keys, cache.values)]
        return [self.visible, *caches]

    def with_tensors(self, tensors: Sequence[mtf.Tensor]) -> StackState:
        """Returns this state with other values of `tensors()`."""
        visible, *caches = tensors
        pairs = zip(caches[::2], caches[1::2], strict=True)
        return dataclasses.replace(
            self,
            caches=tuple(KeyValues(keys, values) for keys, values in pairs),
            visible=visible,
        )
