"""Switch routing: every token goes to the one expert it likes best."""

from __future__ import annotations

import dataclasses

import gin
import tensorflow as tf

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.model.initialization import scaled_normal
from mtmoe.model.moe.losses import load_balance_loss, router_z_loss


@dataclasses.dataclass(frozen=True)
class TokenChoice:
    """What a router that lets tokens choose their expert has decided.

    Attributes:
      expert: int32 [batch, group], each token's expert, before capacity.
      gate: float32 [batch, group], the factor of the expert's output.
      first_choice: float32 [batch, group, experts_unsplit], one-hot of `expert`, 0 for
        padding.
      balance_loss: float32 scalar, weighted.
      z_loss: float32 scalar, weighted.
      entropy: float32 scalar, mean entropy of a token's probabilities in nats.
    """

    expert: mtf.Tensor
    gate: mtf.Tensor
    first_choice: mtf.Tensor
    balance_loss: mtf.Tensor
    z_loss: mtf.Tensor
    entropy: mtf.Tensor


@gin.configurable
@dataclasses.dataclass(frozen=True)
class SwitchRouter:
    """p = softmax(W x), expert = argmax p, gate = p[expert], all in float32.

    Switch Transformer (Fedus et al. 2022), equations 1 and 2. Only the router works in
    float32 ("selective precision"); its input is cast, its gate is cast back.

    Attributes:
      jitter_epsilon: while training the router's input, and only the router's, is
        multiplied by noise from U[1 - epsilon, 1 + epsilon].
      balance_loss_weight: alpha of equation 4.
      z_loss_weight: c_z of ST-MoE (Zoph et al. 2022); 0 for the Switch Transformer as
        published. It is not multiplied by alpha.
    """

    jitter_epsilon: float = 0.01
    balance_loss_weight: float = 0.01
    z_loss_weight: float = 0.001

    def __call__(
        self,
        context: GraphContext,
        tokens: mtf.Tensor,
        nonpadding: mtf.Tensor,
        experts: mtf.Dimension,
        initialization_scale: float,
    ) -> TokenChoice:
        """Chooses an expert for every token.

        Args:
          context: graph being built.
          tokens: [batch, group, d_model].
          nonpadding: float32 [batch, group], 1 for tokens and 0 for padding.
          experts: the dimension `experts_unsplit`.
          initialization_scale: see `scaled_normal`.
        """
        batch, group, d_model = tokens.shape.dims
        weights = context.variable(
            "router",
            [d_model, experts],
            scaled_normal(initialization_scale, d_model.size),
        )
        x = mtf.cast(tokens, tf.float32)
        if context.training and self.jitter_epsilon > 0:
            low, high = 1.0 - self.jitter_epsilon, 1.0 + self.jitter_epsilon
            x *= context.uniform("jitter", x.shape, low, high)
        # [batch, group, d_model] -> [batch, group, experts_unsplit]
        logits = mtf.einsum(
            [x, mtf.cast(weights, tf.float32)], output_shape=[batch, group, experts]
        )
        log_z = mtf.reduce_logsumexp(logits, experts)
        probabilities = mtf.exp(logits - log_z)
        expert = mtf.argmax(logits, experts)
        chosen = mtf.one_hot(expert, experts, dtype=tf.float32)
        gate = mtf.reduce_sum(probabilities * chosen, reduced_dim=experts)
        first_choice = chosen * nonpadding
        balance = load_balance_loss(probabilities, first_choice, nonpadding)
        return TokenChoice(
            expert=expert,
            gate=gate,
            first_choice=first_choice,
            balance_loss=balance * self.balance_loss_weight,
            z_loss=router_z_loss(log_z, nonpadding) * self.z_loss_weight,
            entropy=_mean_entropy(logits, probabilities, log_z, nonpadding),
        )


def _mean_entropy(
    logits: mtf.Tensor,
    probabilities: mtf.Tensor,
    log_z: mtf.Tensor,
    nonpadding: mtf.Tensor,
) -> mtf.Tensor:
    """Mean of -sum p log p over tokens: log p = logit - log_z and sum p = 1."""
    experts = logits.shape.dims[-1]
    entropy = log_z - mtf.reduce_sum(probabilities * logits, reduced_dim=experts)
    total = mtf.reduce_sum(entropy * nonpadding)
    return total / mtf.maximum(mtf.reduce_sum(nonpadding), 1.0)
