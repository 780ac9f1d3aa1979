"""What every sublayer of a stack is: one definition for training and for decoding.

A sublayer maps [batch, length, d_model] to the same shape. It is called on whole
sequences (`call`), or on one place more of every sequence (`step`), given what the
places before left behind (`start`).
"""

from __future__ import annotations

import abc
import dataclasses

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.model.counts import Lengths, Sizes
from mtmoe.model.features import Tokens
from mtmoe.model.positions.places import place_after, token_places
from mtmoe.model.routing import LayerRouting

Tensors = tuple[mtf.Tensor, ...]


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
class MemoryMask:
    """Which places of the memory are seen.

    Attributes:
      bias: hides the memory's padding, [batch, memory_length], and of packed rows other
        segments, [batch, length, memory_length].
      seen: [batch] or [batch, length], 0 where nothing of the memory is.
    """

    bias: mtf.Tensor
    seen: mtf.Tensor


@dataclasses.dataclass(frozen=True)
class Step:
    """The one place that is decoded, the same of all sequences.

    Attributes:
      place: int32 scalar, its number from 0.
      visible: float32 [batch, memory_length], 1 at places up to it that hold a token.
    """

    place: mtf.Tensor
    visible: mtf.Tensor

    @property
    def places(self) -> mtf.Dimension:
        """The places of a sequence, those yet to be written included."""
        return self.visible.shape.dims[1]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What a sublayer may look at beside its input.

    Attributes:
      tokens: what stands at the input's places.
      bidirectional: whether tokens see those after them.
      biases: added to the logits of self-attention: what hides keys, and the stack's
        position bias.
      memory: what is cross-attended to; None without one, and in steps, which find its
        keys and values in their state.
      memory_mask: which places of it are seen; None without a memory.
      step: which place is decoded; None in whole sequences.
      where: the sublayer's name in statistics and errors, "encoder.1.moe".
    """

    tokens: Tokens
    bidirectional: bool
    biases: Tensors = ()
    memory: Memory | None = None
    memory_mask: MemoryMask | None = None
    step: Step | None = None
    where: str = ""

    def places(self) -> mtf.Tensor:
        """Returns each token's place in its row or segment, int32 [batch, length]."""
        if self.step is None:
            return token_places(self.tokens)
        return place_after(self.step.visible)


@dataclasses.dataclass(frozen=True)
class Output:
    """What a sublayer returns.

    Attributes:
      y: [batch, length, d_model].
      routing: what its experts tell; empty without experts.
      kept: of whole sequences, what `start` makes the state after them of.
    """

    y: mtf.Tensor
    routing: tuple[LayerRouting, ...] = ()
    kept: Tensors = ()


@dataclasses.dataclass(frozen=True)
class Room:
    """The places of sequences that are to be decoded.

    Attributes:
      batch: the sequences.
      places: `memory_length`, those yet to be written included.
      d_model: the width of what stands there.
      num_before: places that are filled before the first step.
    """

    batch: mtf.Dimension
    places: mtf.Dimension
    d_model: mtf.Dimension
    num_before: int = 0


@dataclasses.dataclass(frozen=True)
class State:
    """What a sublayer knows of the places before the one it is at.

    Attributes:
      changing: what every step changes.
      fixed: what stays as it is.
    """

    changing: Tensors = ()
    fixed: Tensors = ()


class Sublayer(abc.ABC):
    """A configuration that adds variables and operations to a graph when it is called.

    Variables are named by the scopes that are open.
    """

    @abc.abstractmethod
    def call(
        self, context: GraphContext, x: mtf.Tensor, around: Surroundings
    ) -> Output:
        """Runs over whole sequences, x [batch, length, d_model]."""

    @abc.abstractmethod
    def start(
        self,
        context: GraphContext,
        memory: Memory | None,
        room: Room,
        kept: Tensors | None,
    ) -> State:
        """Returns the state before the first step.

        Args:
          context: graph being built.
          memory: what to cross-attend to; None without one.
          room: the places of the sequences.
          kept: what `call` kept of a prompt, of which the first `room.num_before`
            places come before the first step; None without a prompt.
        """

    @abc.abstractmethod
    def step(
        self, context: GraphContext, x: mtf.Tensor, around: Surroundings, state: State
    ) -> tuple[Output, State]:
        """Runs over one place more, x [batch, length=1, d_model]."""

    @abc.abstractmethod
    def sizes(self, lengths: Lengths) -> Sizes:
        """Counts its parameters and operations by formula."""


class PositionWise(Sublayer):
    """A sublayer that sees no other place: a step is a call, and nothing is kept."""

    def start(
        self,
        context: GraphContext,
        memory: Memory | None,
        room: Room,
        kept: Tensors | None,
    ) -> State:
        """Nothing."""
        del context, memory, room, kept
        return State()

    def step(
        self, context: GraphContext, x: mtf.Tensor, around: Surroundings, state: State
    ) -> tuple[Output, State]:
        """Calls it."""
        return self.call(context, x, around), state


def with_room(x: mtf.Tensor, places: mtf.Dimension) -> mtf.Tensor:
    """Pads what was kept of the places before with zeros for those to come.

    Args:
      x: [..., memory_length, ...].
      places: `memory_length` with all places.
    """
    (length,) = (dim for dim in x.shape.dims if dim.name == places.name)
    return mtf.pad(x, [0, places.size - length.size], places.name)
