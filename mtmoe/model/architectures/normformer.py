"""NormFormer: more norms in pre-norm blocks, so that gradients of all layers are alike.

Shleifer, Weston and Ott 2021, section 3. To every layer of T5's blocks are added:

* a norm of what self-attention gives, before it is added to x;
* HeadScale: each head is multiplied by a learned number, 1 at first, before the heads
  are joined;
* a norm of the hidden activations of every feed-forward network, experts too;
* ResScale: the x that a feed-forward network is added to is multiplied by a learned
  vector, 1 at first.

Beside a layer's own they are h + 2 d_model + 2 d_ff parameters with layer norms, and
d_model with ResScale. Cross-attention, which the paper does not have, stays as it is.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import gin

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.mesh.initializers import ones
from mtmoe.mesh.structure import replace_all
from mtmoe.model.attention.multi_head import MultiHeadAttention
from mtmoe.model.attention.self_attention import SelfAttention
from mtmoe.model.feedforward import DenseFeedForward, FeedForward
from mtmoe.model.moe.feedforward import SparseFeedForward
from mtmoe.model.normalization import Normalization
from mtmoe.model.residual import Residual
from mtmoe.model.stack import Stack
from mtmoe.model.t5 import StackPlan, t5_stack


@dataclasses.dataclass(frozen=True)
class HeadScaleAttention(MultiHeadAttention):
    """Multi-head attention whose heads are scaled: concat_h(gamma_h head_h) W_o."""

    def num_output_parameters(self, d_model: int) -> int:
        """Counts o and a number a head."""
        return super().num_output_parameters(d_model) + self.num_heads

    def join_heads(
        self, context: GraphContext, attended: mtf.Tensor, d_model: mtf.Dimension
    ) -> mtf.Tensor:
        """Scales the heads, then joins them."""
        scale = context.variable("head_scale", [self.heads], ones)
        return super().join_heads(context, attended * scale, d_model)


@dataclasses.dataclass(frozen=True)
class NormalizedFeedForward(FeedForward):
    """wo(norm(act(wi(x)))), with scales and biases an expert of its own.

    Where `d_ff` is split over the mesh, every device gathers the hidden activations to
    normalize them.

    Attributes:
      hidden_norm: the norm.
    """

    hidden_norm: Normalization | None = None

    def num_parameters(self, d_model: int) -> int:
        """Counts the network and the norm."""
        assert self.hidden_norm is not None
        norm = self.hidden_norm.num_parameters * self.d_ff
        return super().num_parameters(d_model) + norm

    def change_hidden(
        self,
        context: GraphContext,
        hidden: mtf.Tensor,
        expert_dims: Sequence[mtf.Dimension],
    ) -> mtf.Tensor:
        """Normalizes over d_ff, [..., d_ff]."""
        assert self.hidden_norm is not None
        d_ff = hidden.shape.dims[-1]
        whole = mtf.Dimension("d_ff_unsplit", d_ff.size)
        y = mtf.replace_dimensions(hidden, d_ff, whole)
        y = self.hidden_norm(context, y, "hidden_norm", expert_dims)
        return mtf.replace_dimensions(y, whole, d_ff)


@gin.configurable
@dataclasses.dataclass(frozen=True)
class NormFormer:
    """T5's stack with the additions of this module; a model's `architecture`.

    Attributes:
      attention_norm: whether what self-attention gives is normalized.
      head_scale: whether heads are scaled.
      hidden_norm: whether hidden activations are normalized.
      residual_scale: whether x is scaled where a feed-forward network is added.
    """

    attention_norm: bool = True
    head_scale: bool = True
    hidden_norm: bool = True
    residual_scale: bool = False

    def __call__(self, plan: StackPlan) -> Stack:
        """Makes a stack."""
        norm = plan.normalization
        return replace_all(
            t5_stack(plan), Residual, lambda residual: self._residual(residual, norm)
        )

    def _residual(self, residual: Residual, norm: Normalization) -> Residual:
        sublayer = residual.sublayer
        if isinstance(sublayer, SelfAttention):
            if self.head_scale:
                scaled = HeadScaleAttention(**_fields(sublayer.attention))
                sublayer = dataclasses.replace(sublayer, attention=scaled)
            return dataclasses.replace(
                residual,
                sublayer=sublayer,
                branch_norm=norm if self.attention_norm else None,
            )
        if isinstance(sublayer, (DenseFeedForward, SparseFeedForward)):
            if self.hidden_norm:
                sublayer = replace_all(
                    sublayer,
                    FeedForward,
                    lambda x: NormalizedFeedForward(**_fields(x), hidden_norm=norm),
                )
            return dataclasses.replace(
                residual, sublayer=sublayer, scaled_skip=self.residual_scale
            )
        return residual


def _fields(value: MultiHeadAttention | FeedForward) -> dict[str, Any]:
    return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
