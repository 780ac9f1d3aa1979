"""Cross-attention as a sublayer: a decoder looks at what the encoder made."""

from __future__ import annotations

import dataclasses

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.model.attention.multi_head import KeyValues, MultiHeadAttention
from mtmoe.model.counts import ForwardFlops, Lengths, ParameterCount, Sizes
from mtmoe.model.sublayer import (
    Memory,
    Output,
    Room,
    State,
    Sublayer,
    Surroundings,
    Tensors,
)


@dataclasses.dataclass(frozen=True)
class CrossAttention(Sublayer):
    """Each token looks at the memory; one that sees nothing of it gets exactly 0.

    Attributes:
      attention: heads, and what is done with queries, keys and values.
    """

    attention: MultiHeadAttention

    def call(
        self, context: GraphContext, x: mtf.Tensor, around: Surroundings
    ) -> Output:
        """Runs over whole sequences; steps take what `start` makes."""
        return self._attend(context, x, self._made(context, around.memory), around)

    def start(
        self,
        context: GraphContext,
        memory: Memory | None,
        room: Room,
        kept: Tensors | None,
    ) -> State:
        """The memory's keys and values, made once."""
        del room, kept
        made = self._made(context, memory)
        return State(fixed=(made.keys, made.values))

    def step(
        self, context: GraphContext, x: mtf.Tensor, around: Surroundings, state: State
    ) -> tuple[Output, State]:
        """Runs over one place more."""
        return self._attend(context, x, KeyValues(*state.fixed), around), state

    def sizes(self, lengths: Lengths) -> Sizes:
        """Counts q and o of each place, k and v of each place of the memory."""
        width = self.attention.num_heads * self.attention.d_kv
        both = lengths.length + lengths.memory_length
        return Sizes(
            ParameterCount(attention=self.attention.num_parameters(lengths.d_model)),
            flops=ForwardFlops(
                projections=2 * both * self.attention.projection(lengths.d_model),
                attention=4 * lengths.length * lengths.memory_length * width,
            ),
        )

    def _made(self, context: GraphContext, memory: Memory | None) -> KeyValues:
        assert memory is not None, "cross-attention needs a memory"
        return self.attention.keys_values(context, memory.values)

    def _attend(
        self,
        context: GraphContext,
        x: mtf.Tensor,
        memory: KeyValues,
        around: Surroundings,
    ) -> Output:
        mask = around.memory_mask
        assert mask is not None
        return Output(
            self.attention.attend(context, x, memory, [mask.bias]) * mask.seen
        )
