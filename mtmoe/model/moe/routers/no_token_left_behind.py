"""No-Token-Left-Behind: tokens without a slot try the expert they like next best."""

from __future__ import annotations

import dataclasses

import gin
import tensorflow as tf

from mtmoe.errors import ConfigError
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.mesh.groupwise import groupwise
from mtmoe.mesh.slots import SlotAssignment, assign_slots
from mtmoe.model.moe.routers.interface import RouterInput, RouterOutput
from mtmoe.model.moe.routers.scores import (
    ExpertChoices,
    LearnedRouter,
    choose_experts,
    score_experts,
)
from mtmoe.ranges import Count


@gin.configurable
@dataclasses.dataclass(frozen=True)
class NoTokenLeftBehindRouter(LearnedRouter):
    """Switch routing, with `rounds` more tries for tokens whose expert is full.

    Fedus et al. 2022, appendix B. In every round the tokens that have no slot yet ask
    the expert they like next best; those who sit stay where they are. The weight is the
    probability of the expert a token ends with. The losses are those of the first
    choices.

    By confidence the tokens most sure of their first choice come first in every round.

    Attributes:
      rounds: tries after the first; without any it is `SwitchRouter`.
    """

    rounds: Count = 1

    def __call__(self, context: GraphContext, inputs: RouterInput) -> RouterOutput:
        """Sends every token to the best of its experts that has room.

        Raises:
          ConfigError: there are not so many experts to try.
        """
        experts = inputs.experts
        if self.rounds >= experts.size:
            raise ConfigError(
                f"NoTokenLeftBehindRouter.rounds is {self.rounds}: with {experts.size} "
                f"experts there are only {experts.size - 1} others to try "
                f"({inputs.where})"
            )
        scores = score_experts(context, inputs, self.jitter_epsilon)
        choices = choose_experts(
            scores.probabilities,
            inputs.nonpadding,
            mtf.Dimension("choice", 1 + self.rounds),
        )
        expert, slots = _seat_in_rounds(inputs, choices)
        chosen = mtf.one_hot(expert, experts, dtype=tf.float32)
        weights = mtf.einsum([scores.probabilities, chosen], output_shape=expert.shape)
        return self.output(inputs, scores, choices, slots, weights)


def _seat_in_rounds(
    inputs: RouterInput, choices: ExpertChoices
) -> tuple[mtf.Tensor, SlotAssignment]:
    """The expert each token ends with, `experts` if it has none, and its slot."""
    shape = inputs.nonpadding.shape
    first_gate = None
    if inputs.priority == "confidence":
        first_gate = _choice(choices.gate, 0)
    seated = mtf.constant(inputs.x.mesh, inputs.experts.size, shape, tf.int32)
    for number in range(choices.expert.shape.dims[1].size):
        wanted = _choice(choices.expert, number)
        tries = _assign(inputs, wanted, _unseated(inputs, seated), first_gate)
        seated = _seat(inputs, seated, wanted, tries)
    # Everybody who is seated fits: whatever the order, nobody is dropped.
    is_seated = mtf.cast(mtf.less(seated, inputs.experts.size), tf.float32)
    return seated, _assign(inputs, seated, is_seated, None)


def _assign(
    inputs: RouterInput,
    expert: mtf.Tensor,
    keep_mask: mtf.Tensor,
    priority: mtf.Tensor | None,
) -> SlotAssignment:
    return assign_slots(
        expert,
        inputs.token_dim,
        inputs.experts,
        inputs.capacity,
        keep_mask=keep_mask,
        priority=priority,
        method=inputs.dispatch,
    )


def _choice(x: mtf.Tensor, number: int) -> mtf.Tensor:
    """[batch, choice, group] -> [batch, group]."""
    batch, _, group = x.shape.dims
    return mtf.slicewise(
        lambda x: x[:, number],
        [x],
        output_shape=mtf.Shape([batch, group]),
        splittable_dims=[batch, group],
        grad_function=0,
        name="choice",
    )


def _unseated(inputs: RouterInput, seated: mtf.Tensor) -> mtf.Tensor:
    """Tokens without a seat, float32 [batch, group]."""
    has_none = mtf.equal(seated, inputs.experts.size)
    return mtf.cast(has_none, tf.float32) * inputs.nonpadding


def _seat(
    inputs: RouterInput, seated: mtf.Tensor, wanted: mtf.Tensor, tries: SlotAssignment
) -> mtf.Tensor:
    """Seats who found room behind those who sit already; int32 [batch, group]."""
    num_experts, capacity = inputs.experts.size, inputs.capacity.size

    def seat(
        seated_GT: tf.Tensor, wanted_GT: tf.Tensor, slot_GT: tf.Tensor
    ) -> tf.Tensor:
        load_GE = tf.reduce_sum(tf.one_hot(seated_GT, num_experts, dtype=tf.int32), 1)
        load_GT = tf.gather(load_GE, wanted_GT, batch_dims=1)
        # Slots were given out as if the experts were empty.
        fits_GT = (slot_GT < tries.num_slots) & (
            slot_GT % capacity + load_GT < capacity
        )
        return tf.where(fits_GT, wanted_GT, seated_GT)

    return groupwise(
        seat,
        [seated, wanted, tries.slot_of_token],
        [(seated.shape, tf.int32)],
        seated.shape.dims[:1],
        "seat",
    )[0]
