"""Parameters and floating-point operations, by what they are for."""

from __future__ import annotations

import dataclasses
from typing import TypeVar

_Self = TypeVar("_Self", bound="_Added")


class _Added:
    """A dataclass that is added up field by field."""

    def __add__(self: _Self, other: _Self) -> _Self:
        names = [field.name for field in dataclasses.fields(self)]  # type: ignore[arg-type]
        return type(self)(*(getattr(self, n) + getattr(other, n) for n in names))


class _Counts(_Added):
    """Numbers by kind."""

    @property
    def total(self) -> int:
        """All of them."""
        return sum(dataclasses.astuple(self))  # type: ignore[call-overload]


@dataclasses.dataclass(frozen=True)
class ParameterCount(_Counts):
    """Trainable parameters by what they are for, biases with their matrices.

    Attributes:
      embedding: the token table, and the logits' matrix if untied.
      attention: projections of self- and cross-attention.
      feed_forward: dense feed-forward networks and shared experts.
      experts: all experts of all layers.
      routers: router matrices.
      normalization: scales and biases of the norms.
      positions: relative position tables, or learned positions.
    """

    embedding: int = 0
    attention: int = 0
    feed_forward: int = 0
    experts: int = 0
    routers: int = 0
    normalization: int = 0
    positions: int = 0


@dataclasses.dataclass(frozen=True)
class ForwardFlops(_Counts):
    """Floating-point operations of a forward pass over one example; 2 per product.

    Every position counts, padding too, and the experts a token asks for: the published
    counts. What capacity adds is computed on empty slots and is the planner's business.

    Attributes:
      projections: attention projections.
      feed_forward: dense feed-forward networks and experts.
      attention: q k^T and the weighted sums of v, of whole matrices: what is causal is
        computed and hidden.
      routers: router logits.
      logits: output vocabulary.
      embedding: products that make the input of a stack; a table has none.
    """

    projections: int = 0
    feed_forward: int = 0
    attention: int = 0
    routers: int = 0
    logits: int = 0
    embedding: int = 0

    @property
    def published(self) -> int:
        """Projections and feed-forward alone.

        This is what Fedus et al. 2022, table 9 ("FLOPs/seq") turns out to count: 124 G
        for T5-Base and Switch-Base with 512 inputs and 114 targets.
        """
        return self.projections + self.feed_forward

    @property
    def training_with_recomputation(self) -> int:
        """Forward and backward, and the layers' forward once more; no routers.

        Narayanan et al. 2021, equation 3, on which Artetxe et al. 2022 base their
        ZFLOPs: 96 T L M^2 (1 + s / 6M + V / 16LM) for dense layers with F = 4M = 4A.
        """
        layers = self.projections + self.feed_forward + self.attention
        return 4 * layers + 3 * self.logits


@dataclasses.dataclass(frozen=True)
class Sizes(_Added):
    """What a part of a model holds and computes, by formula.

    Attributes:
      parameters: all of them.
      idle: those of experts that a token does not ask for.
      flops: of one example's forward pass.
    """

    parameters: ParameterCount = ParameterCount()
    idle: int = 0
    flops: ForwardFlops = ForwardFlops()


@dataclasses.dataclass(frozen=True)
class Lengths:
    """The shape of one example where a part of a model runs.

    Attributes:
      d_model: width of the residual stream, M.
      length: positions, padding included.
      memory_length: positions of what a decoder looks at; 0 without a memory.
    """

    d_model: int
    length: int = 0
    memory_length: int = 0
