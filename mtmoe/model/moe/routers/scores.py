"""What learned routers share: scores of experts, choices by them, and their slots."""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.mesh.slots import SlotAssignment, assign_slots
from mtmoe.model.initialization import scaled_normal
from mtmoe.model.moe.losses import load_balance_loss, router_z_loss
from mtmoe.model.moe.routers.interface import Router, RouterInput, RouterOutput
from mtmoe.ranges import NonNegative, Rate, check_fields


@dataclasses.dataclass(frozen=True)
class ExpertScores:
    """How much each token likes each expert, float32.

    Attributes:
      logits: [batch, group, experts_unsplit], in the router's dtype.
      probabilities: [batch, group, experts_unsplit], their softmax over the experts.
      log_z: [batch, group], their log-sum-exp, 0 at padding.
      entropy: [batch, group], of the probabilities in nats, 0 at padding; a statistic
        through which no gradient goes.
    """

    logits: mtf.Tensor
    probabilities: mtf.Tensor
    log_z: mtf.Tensor
    entropy: mtf.Tensor


@dataclasses.dataclass(frozen=True)
class ExpertChoices:
    """The experts each token likes best, most liked first.

    Attributes:
      expert: int32 [batch, group], or [batch, choice, group].
      gate: float32 of the same shape, their probabilities.
      first_choice: float32 [batch, group, experts_unsplit], one-hot of the first one, 0
        at padding.
    """

    expert: mtf.Tensor
    gate: mtf.Tensor
    first_choice: mtf.Tensor


@dataclasses.dataclass(frozen=True, kw_only=True)
class LearnedRouter(Router):
    """A router that scores experts by a matrix, with two auxiliary losses.

    Attributes:
      jitter_epsilon: while training the router's input, and only the router's, is
        multiplied by noise from U[1 - epsilon, 1 + epsilon].
      balance_loss_weight: alpha of equation 4 of Fedus et al. 2022.
      z_loss_weight: c_z of ST-MoE (Zoph et al. 2022); 0 for the Switch Transformer as
        published. It is not multiplied by alpha.
    """

    jitter_epsilon: Rate = 0.01
    balance_loss_weight: NonNegative = 0.01
    z_loss_weight: NonNegative = 0.001

    def __post_init__(self) -> None:
        """Checks the ranges."""
        check_fields(self)

    def output(
        self,
        inputs: RouterInput,
        scores: ExpertScores,
        choices: ExpertChoices,
        slots: SlotAssignment,
        weights: mtf.Tensor,
        wanted: mtf.Tensor | None = None,
    ) -> RouterOutput:
        """Returns a decision with its losses and statistics; see `RouterOutput`."""
        balance = load_balance_loss(
            scores.probabilities,
            choices.first_choice,
            inputs.nonpadding,
            self.balance_loss_weight,
        )
        return RouterOutput(
            slots=slots,
            weights=weights,
            first_choice=choices.first_choice,
            balance_loss=balance,
            z_loss=router_z_loss(scores.log_z, self.z_loss_weight),
            entropy=scores.entropy,
            log_z=scores.log_z,
            wanted=wanted,
        )


def score_experts(
    context: GraphContext, inputs: RouterInput, jitter_epsilon: float = 0.0
) -> ExpertScores:
    """Returns softmax(W x) and what is told about it.

    Everything is computed in `context.router_dtype` ("selective precision", Fedus et
    al. 2022, section 2.4): the input and W are cast, and the results are float32
    whatever they were computed in.

    Args:
      context: graph being built.
      inputs: the tokens.
      jitter_epsilon: while training the router's input, and only the router's, is
        multiplied by noise from U[1 - epsilon, 1 + epsilon].
    """
    logits = expert_logits(context, inputs, jitter_epsilon)
    return softmax_scores(logits, inputs.nonpadding)


def expert_logits(
    context: GraphContext, inputs: RouterInput, jitter_epsilon: float = 0.0
) -> mtf.Tensor:
    """Returns W x [batch, group, experts_unsplit] in the router's dtype.

    Args:
      context: graph being built.
      inputs: the tokens.
      jitter_epsilon: see `score_experts`.
    """
    x = mtf.cast(inputs.x, context.router_dtype)
    if context.training and jitter_epsilon > 0:
        noise = context.uniform(
            "jitter", x.shape, 1.0 - jitter_epsilon, 1.0 + jitter_epsilon
        )
        x *= mtf.cast(noise, x.dtype)
    return project_to_experts(context, inputs, x, "router")


def project_to_experts(
    context: GraphContext, inputs: RouterInput, x: mtf.Tensor, name: str
) -> mtf.Tensor:
    """Multiplies by a matrix [d_model, experts_unsplit].

    Args:
      context: graph being built.
      inputs: what the router was given.
      x: [batch, group, d_model], in the router's dtype.
      name: the matrix's name.

    Returns:
      [batch, group, experts_unsplit], in the router's dtype.
    """
    d_model = x.shape.dims[-1]
    weights = context.variable(
        name,
        mtf.Shape([d_model, inputs.experts]),
        scaled_normal(inputs.initialization_scale, d_model.size),
        dtype=context.router_dtype,
    )
    return mtf.einsum([x, weights], output_shape=inputs.scores_shape)


def softmax_scores(logits: mtf.Tensor, nonpadding: mtf.Tensor) -> ExpertScores:
    """Returns the softmax over the last dimension, and what is told about it.

    One operation, with its closed form backward:
    d logits = p (dp - sum(p dp) + d log_z).

    Args:
      logits: [batch, group, experts_unsplit], of any float dtype, finite.
      nonpadding: float32 [batch, group], 1 for tokens and 0 for padding.
    """
    shape = logits.shape

    def forward(logits: tf.Tensor, mask: tf.Tensor) -> tuple[tf.Tensor, ...]:
        log_z = tf.reduce_logsumexp(logits, axis=-1, keepdims=True)
        p = tf.exp(logits - log_z)
        # log p = logit - log_z, and the probabilities sum to one.
        entropy = log_z[..., 0] - tf.reduce_sum(p * logits, axis=-1)
        log_z, entropy = (tf.cast(x, mask.dtype) for x in (log_z[..., 0], entropy))
        return tf.cast(p, tf.float32), log_z * mask, entropy * mask

    def backward(
        operation: mtf.Operation,
        d_probabilities: mtf.Tensor | None,
        d_log_z: mtf.Tensor | None,
        d_entropy: mtf.Tensor | None,
    ) -> list[mtf.Tensor | None]:
        del d_entropy
        present = [d is not None for d in (d_probabilities, d_log_z)]

        def d_logits(p: tf.Tensor, mask: tf.Tensor, *gradients: tf.Tensor) -> tf.Tensor:
            total = tf.zeros([], tf.float32)
            if present[0]:
                dp = gradients[0]
                total = dp - tf.reduce_sum(p * dp, axis=-1, keepdims=True)
            if present[1]:
                total += (gradients[-1] * mask)[..., tf.newaxis]
            return tf.cast(p * total, logits.dtype)

        inputs = [operation.outputs[0], nonpadding, d_probabilities, d_log_z]
        gradient = mtf.slicewise(
            d_logits,
            [x for x in inputs if x is not None],
            output_shape=shape,
            output_dtype=logits.dtype,
            splittable_dims=shape.dims[:-1],
            grad_function=0,
            name="softmax_scores_gradient",
        )
        return [gradient, None]

    probabilities, log_z, entropy = mtf.slicewise(
        forward,
        [logits, nonpadding],
        output_shape=[shape, nonpadding.shape, nonpadding.shape],
        output_dtype=[tf.float32, tf.float32, tf.float32],
        splittable_dims=shape.dims[:-1],
        grad_function=backward,
        name="softmax_scores",
    )
    return ExpertScores(logits, probabilities, log_z, entropy)


def choose_experts(
    probabilities: mtf.Tensor,
    nonpadding: mtf.Tensor,
    choice_dim: mtf.Dimension | None = None,
) -> ExpertChoices:
    """Returns each token's likeliest experts; of equal ones, the lower number first.

    The gradient goes through the gates to the chosen probabilities.

    Args:
      probabilities: float32 [batch, group, experts_unsplit].
      nonpadding: float32 [batch, group], 1 for tokens and 0 for padding.
      choice_dim: how many experts; None for one, without a dimension.
    """
    batch, group, experts = probabilities.shape.dims
    dims = [batch, group] if choice_dim is None else [batch, choice_dim, group]

    def forward(p: tf.Tensor, mask: tf.Tensor) -> tuple[tf.Tensor, ...]:
        if choice_dim is None:
            expert = first = tf.argmax(p, axis=-1, output_type=tf.int32)
            gate = tf.reduce_max(p, axis=-1)
        else:
            gate, expert = tf.math.top_k(p, choice_dim.size)
            gate, expert = (tf.transpose(x, [0, 2, 1]) for x in (gate, expert))
            first = expert[:, 0]
        return expert, gate, tf.one_hot(first, experts.size) * mask[..., tf.newaxis]

    def backward(
        operation: mtf.Operation,
        d_expert: mtf.Tensor | None,
        d_gate: mtf.Tensor | None,
        d_first_choice: mtf.Tensor | None,
    ) -> list[mtf.Tensor | None]:
        del d_expert, d_first_choice
        if d_gate is None:
            return [None, None]

        def d_probabilities(expert: tf.Tensor, d_gate: tf.Tensor) -> tf.Tensor:
            one_hot = tf.one_hot(expert, experts.size) * d_gate[..., tf.newaxis]
            return one_hot if choice_dim is None else tf.reduce_sum(one_hot, axis=1)

        gradient = mtf.slicewise(
            d_probabilities,
            [operation.outputs[0], d_gate],
            output_shape=probabilities.shape,
            output_dtype=tf.float32,
            splittable_dims=[batch, group],
            grad_function=0,
            name="choose_experts_gradient",
        )
        return [gradient, None]

    expert, gate, first_choice = mtf.slicewise(
        forward,
        [probabilities, nonpadding],
        output_shape=[mtf.Shape(dims), mtf.Shape(dims), probabilities.shape],
        output_dtype=[tf.int32, tf.float32, tf.float32],
        splittable_dims=[batch, group],
        grad_function=backward,
        name="choose_experts",
    )
    return ExpertChoices(expert, gate, first_choice)


def normalize_gates(gate: mtf.Tensor, choice_dim: mtf.Dimension) -> mtf.Tensor:
    """Divides the gates of each token by their sum, [batch, choice, group]."""
    return gate / mtf.reduce_sum(gate, reduced_dim=choice_dim)


def seat_choices(
    inputs: RouterInput,
    choices: ExpertChoices,
    choice_dim: mtf.Dimension | None = None,
    wanted: mtf.Tensor | None = None,
) -> SlotAssignment:
    """Gives tokens slots of the experts they chose, all first choices first.

    By confidence the order of the tokens is that of their largest gates, for second
    choices too (Riquelme et al. 2021, section 4.1).

    Args:
      inputs: the tokens, the slots and whose they are.
      choices: what was chosen.
      choice_dim: the dimension of the choices, None for one.
      wanted: of the shape of `choices.expert`, 0 where no slot is asked for; by default
        every token asks for all its choices.
    """
    priority = choices.gate if inputs.priority == "confidence" else None
    if choice_dim is not None:
        shape = choices.expert.shape
        if wanted is None:
            wanted = mtf.broadcast(inputs.nonpadding, shape)
        if priority is not None:
            priority = mtf.slicewise(
                lambda gate: tf.broadcast_to(gate[:, :1], gate.shape),
                [priority],
                splittable_dims=[shape.dims[0], shape.dims[2]],
                grad_function=0,
                name="largest_gate",
            )
    return assign_slots(
        choices.expert,
        inputs.token_dim,
        inputs.experts,
        inputs.capacity,
        choice_dim,
        keep_mask=inputs.nonpadding if wanted is None else wanted,
        priority=priority,
        method=inputs.dispatch,
    )
