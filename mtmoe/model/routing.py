"""What a layer of experts tells about its routing; padding is never counted.

A layer gives sums over tokens and counts, never means, so that those of microbatches
and processors add up.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.joined_sums import joined_sums
from mtmoe.mesh.structure import find_all, replace_all


@dataclasses.dataclass(frozen=True)
class LanguageRouting:
    """A layer's routing by the tokens' language, float32 sums over its tokens.

    Tokens of no language are left out.

    Attributes:
      expert_counts: [languages, experts_unsplit], tokens by first choice; their sum
        over experts is the number of the language's tokens.
      dropped: [languages], see `LayerRouting.dropped_counts`.
      entropy: [languages], of the tokens' router probabilities, in nats.
      log_z_square: [languages], squares of the tokens' log-sum-exp of router logits.
    """

    expert_counts: mtf.Tensor
    dropped: mtf.Tensor
    entropy: mtf.Tensor
    log_z_square: mtf.Tensor


@dataclasses.dataclass(frozen=True)
class LayerRouting:
    """Losses and statistics of one layer of experts on one batch, all float32.

    Attributes:
      name: "encoder.1.moe": stack, layer counted from 0.
      balance_loss: scalar, weighted, summed over tokens.
      z_loss: scalar, weighted, summed over tokens.
      entropy: scalar, entropy of a token's router probabilities in nats, summed.
      log_z_square: scalar, square of a token's log-sum-exp of router logits, summed.
      tokens: scalar, how many there are.
      expert_counts: [batch, experts_unsplit], tokens of a row by first choice, before
        capacity: what the router wants, not what it got.
      dropped_counts: [batch], tokens of a row that got no slot; of a token that wanted
        k experts each lost one counts 1/k.
      by_language: the same by language; None if the batch came without languages.
    """

    name: str
    balance_loss: mtf.Tensor
    z_loss: mtf.Tensor
    entropy: mtf.Tensor
    log_z_square: mtf.Tensor
    tokens: mtf.Tensor
    expert_counts: mtf.Tensor
    dropped_counts: mtf.Tensor
    by_language: LanguageRouting | None = None


@dataclasses.dataclass(frozen=True)
class TokenRouting:
    """What is told about each token, float32, 0 at padding.

    Attributes:
      first_choice: [batch, length, experts_unsplit], one-hot.
      dropped: [batch, length], the fraction of its wishes that found no slot.
      entropy: [batch, length].
      log_z: [batch, length].
    """

    first_choice: mtf.Tensor
    dropped: mtf.Tensor
    entropy: mtf.Tensor
    log_z: mtf.Tensor


def layer_routing(
    name: str,
    losses: tuple[mtf.Tensor, mtf.Tensor],
    routing: TokenRouting,
    nonpadding: mtf.Tensor,
    languages: mtf.Tensor | None,
) -> LayerRouting:
    """Sums over tokens.

    Args:
      name: the layer's.
      losses: its balance and z loss.
      routing: of each token.
      nonpadding: float32 [batch, length], 1 for tokens and 0 for padding.
      languages: float32 [batch, length, languages], see `Tokens`; or None.
    """
    batch, _, experts = routing.first_choice.shape.dims
    log_z_square = mtf.square(routing.log_z)
    by_language = None
    if languages is not None:
        language = languages.shape.dims[-1]

        def by(x: mtf.Tensor, *dims: mtf.Dimension) -> mtf.Tensor:
            return mtf.einsum([languages, x], output_shape=[language, *dims])

        by_language = LanguageRouting(
            expert_counts=by(routing.first_choice, experts),
            dropped=by(routing.dropped),
            entropy=by(routing.entropy),
            log_z_square=by(log_z_square),
        )
    balance_loss, z_loss = losses
    return LayerRouting(
        name=name,
        balance_loss=balance_loss,
        z_loss=z_loss,
        entropy=mtf.reduce_sum(routing.entropy),
        log_z_square=mtf.reduce_sum(log_z_square),
        tokens=mtf.reduce_sum(nonpadding),
        expert_counts=mtf.reduce_sum(
            routing.first_choice, output_shape=[batch, experts]
        ),
        dropped_counts=mtf.reduce_sum(routing.dropped, output_shape=[batch]),
        by_language=by_language,
    )


def sums_of_batch(
    layers: Sequence[LayerRouting], others: Sequence[mtf.Tensor]
) -> tuple[list[LayerRouting], list[mtf.Tensor]]:
    """Adds up the rows, and makes all sums over processors together.

    Args:
      layers: their sums and counts.
      others: further sums.

    Returns:
      The layers, `expert_counts` [experts_unsplit] and `dropped_counts` a scalar now;
      and the other sums.
    """
    layers = [
        dataclasses.replace(
            layer,
            expert_counts=mtf.reduce_sum(
                layer.expert_counts, output_shape=layer.expert_counts.shape.dims[-1:]
            ),
            dropped_counts=mtf.reduce_sum(layer.dropped_counts),
        )
        for layer in layers
    ]
    joined = iter(joined_sums([*others, *find_all(layers, mtf.Tensor)]))
    others = [next(joined) for _ in others]
    return replace_all(layers, mtf.Tensor, lambda _: next(joined)), others


@dataclasses.dataclass(frozen=True)
class RoutingSummary:
    """All layers of experts of a model in one number each, float32 scalars.

    Attributes:
      balance_loss: mean over tokens, summed over layers, weighted (Fedus et al. 2022,
        section 2.2).
      z_loss: mean over tokens, summed over layers, weighted.
      dropped_fraction: of tokens, mean over layers.
      expert_load_max_over_mean: load of the busiest expert over the mean load, mean
        over layers; 1 is even, the number of experts is collapse.
      router_entropy: mean over tokens and layers, in nats.
      router_log_z_square: mean over tokens and layers.
    """

    balance_loss: mtf.Tensor
    z_loss: mtf.Tensor
    dropped_fraction: mtf.Tensor
    expert_load_max_over_mean: mtf.Tensor
    router_entropy: mtf.Tensor
    router_log_z_square: mtf.Tensor


def summarize_routing(
    layers: Sequence[LayerRouting], tokens: Sequence[mtf.Tensor] | None = None
) -> RoutingSummary:
    """Combines the layers of a model that has at least one layer of experts.

    Args:
      layers: their sums, over a batch or a part of it.
      tokens: float32 scalars, by how many tokens to divide each layer's sums; by
        default its own. Given the tokens of the whole batch, the summaries of its parts
        add up to that of the whole, except `expert_load_max_over_mean`.
    """
    counts = [layer.tokens for layer in layers] if tokens is None else list(tokens)
    shares = [mtf.reciprocal(mtf.maximum(count, 1.0)) for count in counts]

    def total(sums: Sequence[mtf.Tensor]) -> mtf.Tensor:
        means = [x * share for x, share in zip(sums, shares, strict=True)]
        return mtf.add_n(means)

    def busiest(layer: LayerRouting) -> mtf.Tensor:
        experts = layer.expert_counts.shape.dims[-1]
        counts = mtf.reduce_sum(layer.expert_counts, output_shape=[experts])
        return mtf.reduce_max(counts, output_shape=[]) * float(experts.size)

    each = 1.0 / len(layers)
    dropped = [mtf.reduce_sum(layer.dropped_counts) for layer in layers]
    return RoutingSummary(
        balance_loss=total([layer.balance_loss for layer in layers]),
        z_loss=total([layer.z_loss for layer in layers]),
        dropped_fraction=total(dropped) * each,
        expert_load_max_over_mean=total([busiest(layer) for layer in layers]) * each,
        router_entropy=total([layer.entropy for layer in layers]) * each,
        router_log_z_square=total([layer.log_z_square for layer in layers]) * each,
    )
