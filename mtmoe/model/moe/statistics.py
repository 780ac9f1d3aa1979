"""What a Switch layer tells about its routing; padding is never counted."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from mtmoe.mesh.compat import mtf


@dataclasses.dataclass(frozen=True)
class LayerRouting:
    """Losses and statistics of one Switch layer on one batch, all float32.

    Attributes:
      name: "encoder.1.moe": stack, layer counted from 0.
      balance_loss: scalar, weighted.
      z_loss: scalar, weighted.
      entropy: scalar, mean entropy of a token's router probabilities, in nats.
      dropped_fraction: scalar, tokens for which their expert had no slot left, of all.
      expert_fraction: [experts_unsplit], tokens whose first choice an expert was, of
        all. By first choice, before capacity: what the router wants, not what it got.
      expert_counts: [batch, experts_unsplit], the same as counts per row.
      dropped_counts: [batch], dropped tokens per row.
      language_counts: [languages, experts_unsplit], the counts by the tokens' language;
        tokens without one are left out. None if the batch came without languages.
    """

    name: str
    balance_loss: mtf.Tensor
    z_loss: mtf.Tensor
    entropy: mtf.Tensor
    dropped_fraction: mtf.Tensor
    expert_fraction: mtf.Tensor
    expert_counts: mtf.Tensor
    dropped_counts: mtf.Tensor
    language_counts: mtf.Tensor | None = None


@dataclasses.dataclass(frozen=True)
class RoutingSummary:
    """All Switch layers of a model in one number each, float32 scalars.

    Attributes:
      balance_loss: sum over layers, weighted (Fedus et al. 2022, section 2.2).
      z_loss: sum over layers, weighted.
      dropped_fraction: mean over layers.
      expert_load_max_over_mean: load of the busiest expert over the mean load, mean
        over layers; 1 is even, the number of experts is collapse.
      router_entropy: mean over layers, in nats.
    """

    balance_loss: mtf.Tensor
    z_loss: mtf.Tensor
    dropped_fraction: mtf.Tensor
    expert_load_max_over_mean: mtf.Tensor
    router_entropy: mtf.Tensor


def summarize_routing(layers: Sequence[LayerRouting]) -> RoutingSummary:
    """Combines the layers of a model that has at least one Switch layer."""
    share = 1.0 / len(layers)
    loads = [
        mtf.reduce_max(layer.expert_fraction, output_shape=[])
        * float(layer.expert_fraction.shape.size)
        for layer in layers
    ]
    return RoutingSummary(
        balance_loss=mtf.add_n([layer.balance_loss for layer in layers]),
        z_loss=mtf.add_n([layer.z_loss for layer in layers]),
        dropped_fraction=mtf.add_n([x.dropped_fraction for x in layers]) * share,
        expert_load_max_over_mean=mtf.add_n(loads) * share,
        router_entropy=mtf.add_n([layer.entropy for layer in layers]) * share,
    )
