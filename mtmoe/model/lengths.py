"""Changes of length between the blocks of a stack that sees both ways.

Funnel-Transformer (Dai et al. 2020, section 2.2): blocks after a pooling run on fewer
places, and an upsampling gives each token its place back.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Sequence
from typing import Annotated

from mtmoe.errors import ConfigError
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.model.features import Tokens
from mtmoe.ranges import Range, check_fields

Stride = Annotated[int, Range(2, 2**31 - 1, whole=True)]
"""Places that become one."""


@dataclasses.dataclass(frozen=True)
class Places:
    """What stands at the places between two blocks.

    Attributes:
      values: [batch, length, d_model].
      tokens: which places hold a token.
    """

    values: mtf.Tensor
    tokens: Tokens


class ChangeOfLength(abc.ABC):
    """Makes other places of those that a block is given."""

    @abc.abstractmethod
    def __call__(
        self, context: GraphContext, here: Places, before: Sequence[Places]
    ) -> Places:
        """Changes the length.

        Args:
          context: graph being built.
          here: what the block before made.
          before: what each change of length before was given, the first one first.
        """

    @abc.abstractmethod
    def length(self, here: int, before: Sequence[int]) -> int:
        """Returns the new length, of the lengths that `__call__` is given."""


@dataclasses.dataclass(frozen=True)
class MeanPooling(ChangeOfLength):
    """Each window of neighbouring places becomes one, the mean of its tokens.

    A window holds a token if one of its places does.

    Attributes:
      stride: places of a window; they divide the length.
    """

    stride: Stride = 2

    def __post_init__(self) -> None:
        """Checks the range."""
        check_fields(self)

    def __call__(
        self, context: GraphContext, here: Places, before: Sequence[Places]
    ) -> Places:
        """Pools.

        Raises:
          ConfigError: rows are packed, or the stride does not divide their length.
        """
        tokens, values = here.tokens, here.values
        if tokens.segments is not None:
            raise ConfigError(
                "MeanPooling would mix the examples of packed rows; leave out "
                "train.packing"
            )
        batch, length, d_model = values.shape.dims
        pooled = mtf.Dimension("length", self.length(length.size, ()))
        window = mtf.Dimension("window", self.stride)

        def windows(x: mtf.Tensor) -> mtf.Tensor:
            """[batch, length, ...] -> [batch, length / stride, window, ...]."""
            rest = x.shape.dims[2:]
            return mtf.reshape(x, mtf.Shape([batch, pooled, window, *rest]))

        def largest(x: mtf.Tensor) -> mtf.Tensor:
            return mtf.reduce_max(windows(x), reduced_dim=window)

        used = windows(tokens.nonpadding)
        count = mtf.reduce_sum(used, reduced_dim=window)
        total = mtf.einsum(  # padding is left out of the mean
            [windows(values), mtf.cast(used, values.dtype)],
            output_shape=[batch, pooled, d_model],
        )
        languages = tokens.languages
        return Places(
            total / mtf.cast(mtf.maximum(count, 1.0), values.dtype),
            Tokens(
                largest(tokens.ids),
                largest(tokens.nonpadding),
                languages=None if languages is None else largest(languages),
            ),
        )

    def length(self, here: int, before: Sequence[int]) -> int:
        """Returns how many windows there are.

        Raises:
          ConfigError: the stride does not divide the length.
        """
        if here % self.stride:
            raise ConfigError(
                f"MeanPooling.stride = {self.stride} does not divide the {here} places "
                "of a row; change the length of the inputs to a multiple"
            )
        return here // self.stride


@dataclasses.dataclass(frozen=True)
class Upsampling(ChangeOfLength):
    """Each token gets what its place has become, added to what it had at first.

    Dai et al. 2020, equation 7: places are repeated up to the length before the first
    change, and what stood there is added.
    """

    def __call__(
        self, context: GraphContext, here: Places, before: Sequence[Places]
    ) -> Places:
        """Repeats the places and adds what stood there."""
        first = before[0]
        batch, length, d_model = first.values.shape.dims
        stride = length.size // here.values.shape.dims[1].size
        window = mtf.Dimension("window", stride)
        batch, pooled, d_model = here.values.shape.dims
        repeated = mtf.broadcast(
            here.values, mtf.Shape([batch, pooled, window, d_model])
        )
        return Places(
            first.values + mtf.reshape(repeated, first.values.shape), first.tokens
        )

    def length(self, here: int, before: Sequence[int]) -> int:
        """Returns the length before the first change."""
        return before[0]
