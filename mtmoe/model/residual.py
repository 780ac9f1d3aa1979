"""A sublayer within the residual stream, and passes through blocks of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TypeVar

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.mesh.initializers import ones
from mtmoe.model.counts import Lengths, ParameterCount, Sizes
from mtmoe.model.lengths import ChangeOfLength
from mtmoe.model.normalization import Normalization, RMSNorm
from mtmoe.model.sublayer import (
    Memory,
    Output,
    Room,
    State,
    Sublayer,
    Surroundings,
    Tensors,
)
from mtmoe.ranges import Rate, check_fields

_Rest = TypeVar("_Rest")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Residual:
    """x + dropout(f(norm(x))); each norm and the scale of x can be had or left out.

    After `norm` only (pre-norm) it is T5's, after `output_norm` only (post-norm)
    Vaswani et al.'s (2017).

    Attributes:
      name: of the norms, as "self_attention" of "self_attention_norm", and of the
        dropout's noise.
      sublayer: f.
      scope: of the sublayer's variables; `name` if empty.
      norm: of the input of f; None for none.
      branch_norm: of what f gives, before the sum.
      output_norm: of the sum.
      scaled_skip: whether x is multiplied by a learned vector, 1 at first, in the sum.
      dropout_rate: of what f gives; its noise is shared over the length, as in T5.
    """

    name: str
    sublayer: Sublayer
    scope: str = ""
    norm: Normalization | None = RMSNorm()  # noqa: RUF009  (frozen)
    branch_norm: Normalization | None = None
    output_norm: Normalization | None = None
    scaled_skip: bool = False
    dropout_rate: Rate = 0.0

    def __post_init__(self) -> None:
        """Checks the ranges."""
        check_fields(self)

    @property
    def own_scope(self) -> str:
        """The scope of the sublayer's variables."""
        return self.scope or self.name

    def call(
        self, context: GraphContext, x: mtf.Tensor, around: Surroundings
    ) -> Output:
        """Runs over whole sequences."""
        output, _ = self._add(
            context, x, lambda y: (self.sublayer.call(context, y, around), None)
        )
        return output

    def start(
        self,
        context: GraphContext,
        memory: Memory | None,
        room: Room,
        kept: Tensors | None,
    ) -> State:
        """Returns the sublayer's state before the first step."""
        with context.scope(self.own_scope):
            return self.sublayer.start(context, memory, room, kept)

    def step(
        self, context: GraphContext, x: mtf.Tensor, around: Surroundings, state: State
    ) -> tuple[Output, State]:
        """Runs over one place more."""
        return self._add(
            context, x, lambda y: self.sublayer.step(context, y, around, state)
        )

    def sizes(self, lengths: Lengths) -> Sizes:
        """Counts the sublayer, the norms and the scale."""
        norms = (self.norm, self.branch_norm, self.output_norm)
        vectors = sum(norm.num_parameters for norm in norms if norm is not None)
        vectors += self.scaled_skip
        own = Sizes(ParameterCount(normalization=vectors * lengths.d_model))
        return own + self.sublayer.sizes(lengths)

    def _add(
        self,
        context: GraphContext,
        x: mtf.Tensor,
        run: Callable[[mtf.Tensor], tuple[Output, _Rest]],
    ) -> tuple[Output, _Rest]:
        """Adds to x [batch, length, d_model] what `run` makes of it."""
        y = self.norm(context, x, f"{self.name}_norm") if self.norm else x
        with context.scope(self.own_scope):
            output, rest = run(y)
        y = output.y
        if self.branch_norm is not None:
            y = self.branch_norm(context, y, f"{self.name}_branch_norm")
        length = x.shape.dims[1]
        y = context.dropout(y, self.dropout_rate, self.name, y.shape - length)
        if self.scaled_skip:
            x *= context.variable(f"{self.name}_skip_scale", x.shape.dims[-1:], ones)
        x += y
        if self.output_norm is not None:
            x = self.output_norm(context, x, f"{self.name}_output_norm")
        return dataclasses.replace(output, y=x), rest


Block = tuple[Residual, ...]


@dataclasses.dataclass(frozen=True)
class Entry:
    """One pass through a block of a stack.

    Attributes:
      block: what runs, in order.
      scope: of its variables; entries of the same scope share them.
      call: what tells the noise of entries that share variables apart; empty where
        none do.
      resize: what changes the length before the block; None for nothing.
    """

    block: Block
    scope: str
    call: str = ""
    resize: ChangeOfLength | None = None

    def context(self, context: GraphContext) -> GraphContext:
        """Returns the context in which its noise is its own."""
        return dataclasses.replace(context, call=self.call) if self.call else context
