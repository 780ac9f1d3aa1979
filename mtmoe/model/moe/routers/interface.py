"""What a router is, what it is given and what it gives back."""

from __future__ import annotations

import dataclasses
from typing import Literal, Protocol

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.mesh.slots import DispatchMethod, SlotAssignment

Priority = Literal["position", "confidence"]
PRIORITIES = ("position", "confidence")


@dataclasses.dataclass(frozen=True)
class RouterInput:
    """A layer's tokens, in groups whose tokens compete for the same slots.

    Attributes:
      x: [batch, group, d_model], in the activation dtype.
      ids: int32 [batch, group], token ids, 0 at padding.
      nonpadding: float32 [batch, group], 1 for tokens and 0 for padding.
      experts: the dimension `experts_unsplit`.
      capacity: the dimension `expert_capacity`, slots of one expert in one group.
      priority: whose the slots of a full expert are: of the first in the group, or of
        those with the largest gate.
      initialization_scale: see `scaled_normal`.
      where: the layer's name, for errors.
      dispatch: how rows will move, and so how slots are best given out; the assignment
        is the same.
    """

    x: mtf.Tensor
    ids: mtf.Tensor
    nonpadding: mtf.Tensor
    experts: mtf.Dimension
    capacity: mtf.Dimension
    priority: Priority
    initialization_scale: float
    where: str
    dispatch: DispatchMethod = "gather"

    @property
    def token_dim(self) -> mtf.Dimension:
        """The dimension `group`."""
        return self.nonpadding.shape.dims[-1]

    @property
    def scores_shape(self) -> mtf.Shape:
        """[batch, group, experts_unsplit]."""
        return self.nonpadding.shape + self.experts


@dataclasses.dataclass(frozen=True)
class RouterOutput:
    """What a router has decided, all numbers float32.

    Attributes:
      slots: who sits where.
      weights: factor of the expert's output, of the shape of `slots.slot_of_token`, or
        of `slots.token_of_slot` where that is None. The gradient to the router goes
        through it. Padding and tokens without a slot are never looked at.
      first_choice: [batch, group, experts_unsplit], one-hot of the expert a token likes
        best before capacity, 0 at padding.
      balance_loss: scalar, weighted, summed over tokens.
      z_loss: scalar, weighted, summed over tokens.
      entropy: [batch, group], of a token's probabilities in nats, 0 at padding.
      log_z: [batch, group], log-sum-exp of a token's logits, 0 at padding.
      wanted: of the shape of `slots.slot_of_token`, 1 where a token asked for a slot,
        0 elsewhere; None if every token asked for all its choices, or was chosen.
    """

    slots: SlotAssignment
    weights: mtf.Tensor
    first_choice: mtf.Tensor
    balance_loss: mtf.Tensor
    z_loss: mtf.Tensor
    entropy: mtf.Tensor
    log_z: mtf.Tensor
    wanted: mtf.Tensor | None = None


class Router(Protocol):
    """Decides which experts see which tokens; causal and of one matrix by default.

    Nothing that a router returns is divided by a number of tokens of more than one
    group, so sums over groups, microbatches and processors add up.
    """

    @property
    def causal(self) -> bool:
        """False if a token's expert depends on later tokens of its own example."""
        return True

    @property
    def num_choices(self) -> int:
        """How many experts a token asks for; on average, where experts choose."""
        return 1

    @property
    def num_matrices(self) -> int:
        """How many matrices [d_model, experts] it has."""
        return 1

    def check_vocabulary(self, vocab_size: int, model: str, field: str) -> None:
        """Raises a ConfigError where a model has token ids that it does not know.

        Args:
          vocab_size: of the model.
          model: the model's name.
          field: of the model, which has the router.
        """
        return

    def __call__(self, context: GraphContext, inputs: RouterInput) -> RouterOutput:
        """Assigns tokens to experts' slots."""
        ...
