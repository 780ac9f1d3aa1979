"""Auxiliary losses of a router, over non-padding tokens only."""

from __future__ import annotations

from mtmoe.mesh.compat import mtf


def load_balance_loss(
    probabilities: mtf.Tensor, first_choice: mtf.Tensor, nonpadding: mtf.Tensor
) -> mtf.Tensor:
    """E * sum_i f_i P_i per group, averaged over groups by their number of tokens.

    Switch Transformer (Fedus et al. 2022), equations 4 to 6, without the weight alpha:
    f_i is the fraction of tokens whose first choice is expert i, before capacity, P_i
    the mean probability of expert i. It is 1 when the load is uniform and at most E.

    Mesh TensorFlow averages f over padding too, which shrinks the loss of padded
    groups.

    Args:
      probabilities: float32 [batch, group, experts_unsplit].
      first_choice: float32 of the same shape, one-hot, 0 for padding.
      nonpadding: float32 [batch, group], 1 for tokens and 0 for padding.

    Returns:
      A float32 scalar.
    """
    batch, _, experts = probabilities.shape.dims
    counts = mtf.reduce_sum(first_choice, output_shape=[batch, experts])
    total = mtf.einsum([probabilities, nonpadding], output_shape=[batch, experts])
    tokens = mtf.maximum(mtf.reduce_sum(nonpadding, output_shape=[batch]), 1.0)
    # n_g * sum_i f_i P_i = sum_i counts_i total_i / n_g
    weighted = mtf.reduce_sum(counts * total / tokens) * float(experts.size)
    return weighted / mtf.maximum(mtf.reduce_sum(nonpadding), 1.0)


def router_z_loss(log_z: mtf.Tensor, nonpadding: mtf.Tensor) -> mtf.Tensor:
    """Mean over tokens of log(sum_i exp(logit_i))^2.

    ST-MoE (Zoph et al. 2022), equation 5, without the weight c_z. It keeps the logits
    small, where float32 (and the roundings around it) are accurate.

    Args:
      log_z: float32 [batch, group], the log-sum-exp of a token's router logits.
      nonpadding: float32 [batch, group], 1 for tokens and 0 for padding.

    Returns:
      A float32 scalar.
    """
    total = mtf.reduce_sum(mtf.square(log_z) * nonpadding)
    return total / mtf.maximum(mtf.reduce_sum(nonpadding), 1.0)
