"""Self-attention as a sublayer: over whole sequences, and one place at a time."""

from __future__ import annotations

import dataclasses

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.mesh.update import write_at
from mtmoe.model.attention.multi_head import KeyValues, MultiHeadAttention
from mtmoe.model.counts import ForwardFlops, Lengths, ParameterCount, Sizes
from mtmoe.model.positions.relative import RelativePositionBias
from mtmoe.model.routing import LayerRouting
from mtmoe.model.sublayer import (
    Memory,
    Output,
    Room,
    State,
    Sublayer,
    Surroundings,
    Tensors,
    with_room,
)


@dataclasses.dataclass(frozen=True)
class SelfAttention(Sublayer):
    """Each token looks at the tokens of its stack that it may see.

    Attributes:
      attention: heads, and what is done with queries, keys and values.
      relative: a position bias of its own, beside that of the stack; None without.
    """

    attention: MultiHeadAttention
    relative: RelativePositionBias | None = None

    def call(
        self, context: GraphContext, x: mtf.Tensor, around: Surroundings
    ) -> Output:
        """Runs over whole sequences; keeps keys and values."""
        queries, made, routing = self.project(context, x, around)
        biases = list(around.biases)
        if self.relative is not None:
            biases = [self.relative(context, x.shape.dims[1]), *biases]
        y = self.attention.attend_queries(
            context, queries, made, biases, x.shape.dims[-1]
        )
        return Output(y, routing, (made.keys, made.values))

    def start(
        self,
        context: GraphContext,
        memory: Memory | None,
        room: Room,
        kept: Tensors | None,
    ) -> State:
        """Keys and values of all places, 0 at those to come."""
        del memory
        if kept is not None:  # steps write over what is not before them
            return State(changing=tuple(with_room(x, room.places) for x in kept))
        heads, d_kv = self.attention.heads, self.attention.head
        shape = mtf.Shape([room.batch, heads, room.places, d_kv])
        empty = mtf.zeros(context.mesh, shape, context.activation_dtype)
        return State(changing=(empty, empty))

    def step(
        self, context: GraphContext, x: mtf.Tensor, around: Surroundings, state: State
    ) -> tuple[Output, State]:
        """Writes the place's key and value, and looks at all written so far."""
        assert around.step is not None
        places, place = around.step.places, around.step.place
        queries, new, routing = self.project(context, x, around)
        pairs = zip(state.changing, (new.keys, new.values), strict=True)
        keys, values = (write_at(cache, here, places, place) for cache, here in pairs)
        biases = list(around.biases)
        if self.relative is not None:
            length = mtf.Dimension("length", places.size)
            biases = [self.relative.at(context, length, place), *biases]
        y = self.attention.attend_queries(
            context, queries, KeyValues(keys, values), biases, x.shape.dims[-1]
        )
        return Output(y, routing), State(changing=(keys, values))

    def project(
        self, context: GraphContext, x: mtf.Tensor, around: Surroundings
    ) -> tuple[mtf.Tensor, KeyValues, tuple[LayerRouting, ...]]:
        """Makes queries [batch, heads, length, d_kv], keys and values."""
        del around
        queries = self.attention.queries(context, x)
        return queries, self.attention.keys_values(context, x), ()

    def sizes(self, lengths: Lengths) -> Sizes:
        """Counts q, k, v, o, and the products of all places with all."""
        parameters = ParameterCount(
            attention=self.attention.num_parameters(lengths.d_model)
        )
        flops = ForwardFlops(
            projections=4 * lengths.length * self.attention.projection(lengths.d_model)
        )
        return Sizes(parameters, flops=flops) + self._attending(lengths)

    def _attending(self, lengths: Lengths) -> Sizes:
        """What does not depend on how queries, keys and values are made."""
        width = self.attention.num_heads * self.attention.d_kv
        table = self.relative.num_parameters if self.relative is not None else 0
        return Sizes(
            ParameterCount(positions=table),
            flops=ForwardFlops(attention=4 * lengths.length**2 * width),
        )
