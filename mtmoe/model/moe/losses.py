"""Auxiliary losses of a router, summed over its tokens, padding left out.

Nothing is divided by a number of tokens here but within one group, so that the sums of
microbatches and processors add up; the training step divides by the tokens of the whole
batch.
"""

from __future__ import annotations

import tensorflow as tf

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.products import product


def load_balance_loss(
    probabilities: mtf.Tensor,
    first_choice: mtf.Tensor,
    nonpadding: mtf.Tensor,
    weight: float,
) -> mtf.Tensor:
    """Sum over groups of alpha * n_g * E * sum_i f_i P_i, n_g the group's tokens.

    Switch Transformer (Fedus et al. 2022), equations 4 to 6: f_i is the fraction of the
    group's tokens whose first choice is expert i, before capacity, P_i the mean
    probability of expert i. A token's share is alpha when the load is uniform and at
    most alpha * E. The gradient goes through P.

    Mesh TensorFlow averages f over padding too, which shrinks the loss of padded
    groups.

    Args:
      probabilities: float32 [batch, group, experts_unsplit].
      first_choice: float32 of the same shape, one-hot, 0 for padding.
      nonpadding: float32 [batch, group], 1 for tokens and 0 for padding.
      weight: alpha.

    Returns:
      A float32 scalar.
    """
    batch, _, experts = probabilities.shape.dims

    def load_over_tokens(first_GSE: tf.Tensor, mask_GS: tf.Tensor) -> tf.Tensor:
        tokens_G1 = tf.maximum(tf.reduce_sum(mask_GS, axis=1, keepdims=True), 1.0)
        return tf.reduce_sum(first_GSE, axis=1) * (experts.size / tokens_G1)

    def forward(
        p_GSE: tf.Tensor, first_GSE: tf.Tensor, mask_GS: tf.Tensor
    ) -> tf.Tensor:
        # n_g E sum_i f_i P_i = sum_i (sum_s p_si) counts_i E / n_g
        total_GE = product("gse,gs->ge", p_GSE, mask_GS)
        return tf.reduce_sum(total_GE * load_over_tokens(first_GSE, mask_GS), axis=1)

    def backward(
        operation: mtf.Operation, d_loss: mtf.Tensor
    ) -> list[mtf.Tensor | None]:
        def d_probabilities(
            first_GSE: tf.Tensor, mask_GS: tf.Tensor, d_G: tf.Tensor
        ) -> tf.Tensor:
            load_GE = load_over_tokens(first_GSE, mask_GS) * d_G[:, tf.newaxis]
            return mask_GS[..., tf.newaxis] * load_GE[:, tf.newaxis]

        gradient = mtf.slicewise(
            d_probabilities,
            [*operation.inputs[1:], d_loss],
            output_shape=probabilities.shape,
            output_dtype=tf.float32,
            splittable_dims=[batch],
            grad_function=0,
            name="load_balance_loss_gradient",
        )
        return [gradient, None, None]

    by_group = mtf.slicewise(
        forward,
        [probabilities, first_choice, nonpadding],
        output_shape=mtf.Shape([batch]),
        output_dtype=tf.float32,
        splittable_dims=[batch],
        grad_function=backward,
        name="load_balance_loss",
    )
    # Weighted before it is summed: a sum over processors can wait for others so.
    return mtf.reduce_sum(by_group * weight)


def router_z_loss(log_z: mtf.Tensor, weight: float) -> mtf.Tensor:
    """Sum over tokens of c_z * log(sum_i exp(logit_i))^2.

    ST-MoE (Zoph et al. 2022), equation 5. It keeps the logits small, where float32 (and
    the roundings around it) are accurate.

    Args:
      log_z: float32 [batch, group], the log-sum-exp of a token's router logits, 0 for
        padding.
      weight: c_z.

    Returns:
      A float32 scalar.
    """
    return mtf.reduce_sum(mtf.square(log_z) * weight)
