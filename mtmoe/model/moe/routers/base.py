"""BASE routing: tokens are dealt out evenly, at the best total score there is."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Annotated

import gin
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.mesh.initializers import Initializer, WholeInitializer, truncated_normal
from mtmoe.model.moe.balanced_assignment import balanced_assignment
from mtmoe.model.moe.routers.balanced import balanced_output
from mtmoe.model.moe.routers.interface import Router, RouterInput, RouterOutput
from mtmoe.model.moe.routers.scores import softmax_scores
from mtmoe.ranges import Range, check_fields

_GAIN = 0.1

Tolerance = Annotated[float, Range(1e-4, 1.0)]
"""Below it bidding would not end."""


@gin.configurable
@dataclasses.dataclass(frozen=True)
class BaseRouter(Router):
    """Balanced assignment of experts, weight sigmoid(h . w_a).

    BASE layers (Lewis et al. 2021), section 3. While training a group's tokens are
    assigned such that every expert has as many, ceil(tokens / experts) at most, and the
    sum of the scores h . w is the largest, within `epsilon`. Otherwise every token goes
    to the expert of its highest score. The assignment has no gradient, the weight has;
    there are no further losses. The experts' vectors w begin orthogonal, of length 0.1.

    A capacity factor of 1 has room for a balanced assignment. First choices are counted
    by score: what evaluation would do.

    Attributes:
      epsilon: how far from the best sum the assignment may stay, a token, in units of
        the range of the group's scores. Smaller is slower.
    """

    epsilon: Tolerance = 0.02

    def __post_init__(self) -> None:
        """Checks the tolerance."""
        check_fields(self)

    def __call__(self, context: GraphContext, inputs: RouterInput) -> RouterOutput:
        """Deals the tokens out while training; lets them choose otherwise."""
        d_model = inputs.x.shape.dims[-1]
        centroids = context.variable(
            "router",
            mtf.Shape([d_model, inputs.experts]),
            orthogonal(_GAIN),
            dtype=context.router_dtype,
        )
        logits = mtf.einsum(
            [mtf.cast(inputs.x, context.router_dtype), centroids],
            output_shape=inputs.scores_shape,
        )
        scores = softmax_scores(logits, inputs.nonpadding)
        gates = mtf.sigmoid(mtf.cast(logits, tf.float32))
        return balanced_output(context, inputs, scores, gates, self._deal)

    def _deal(self, logits_GTE: tf.Tensor, mask_GT: tf.Tensor) -> tf.Tensor:
        return balanced_assignment(logits_GTE, mask_GT, self.epsilon)


def orthogonal(gain: float) -> Initializer:
    """A random matrix with orthogonal columns of length `gain`, or rows if more."""
    return _Orthogonal(gain)


@dataclasses.dataclass(frozen=True)
class _Orthogonal(WholeInitializer):
    """A random matrix with orthogonal columns, or rows if there are more columns.

    Saxe et al. 2014: the Q of a normal matrix's QR decomposition, its signs made
    independent of the algorithm's.

    Attributes:
      gain: length of a column.
    """

    gain: float

    def whole(
        self, shape: Sequence[int], key: tuple[int, int]
    ) -> npt.NDArray[np.float32]:
        """Draws the matrix."""
        rows, columns = shape
        tall = truncated_normal(1.0)([max(shape), min(shape)], key)
        q, r = np.linalg.qr(tall)
        q = np.float32(self.gain) * q * np.sign(np.diag(r))
        return q if rows >= columns else q.T
