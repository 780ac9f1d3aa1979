"""The Switch layer: feed-forward networks of many experts, one of them for each token.

Dimensions cheat sheet, after the one of `mesh_tensorflow/transformer/moe.py`. ` marks
the dimension that is split over the mesh when examples and experts are split over the
same mesh axis; G groups of S tokens are made of B examples of length L.

    x                 [batch=B`, length=L, d_model]
                        v reshape: whole neighbouring examples form a group
    tokens            [batch=G`, group=S, d_model]
    router            [batch=G`, group=S, experts_unsplit]
                        v dispatch by gather
    dispatched        [batch=G`, experts_unsplit, expert_capacity, d_model]
                        v reshape: all-to-all
                      [batch_unsplit=G, experts`, expert_capacity, d_model]
                        v transpose, within a device
    expert inputs     [experts`, batch_unsplit=G, expert_capacity, d_model]
    hidden            [experts`, batch_unsplit=G, expert_capacity, d_ff]
    expert outputs    [experts`, batch_unsplit=G, expert_capacity, d_model]
                        v the same way back
    tokens            [batch=G`, group=S, d_model]
                        v reshape
    y                 [batch=B`, length=L, d_model]

Where examples and experts are split over different axes, or one of them is not split,
`batch` keeps its name all the way, and there is no all-to-all.
"""

from __future__ import annotations

import dataclasses

import gin
import tensorflow as tf

from mtmoe.errors import ConfigError
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.mesh.dispatch import SlotAssignment, assign_slots, combine, dispatch
from mtmoe.mesh.layout import Layout
from mtmoe.model.features import Tokens
from mtmoe.model.feedforward import FeedForward
from mtmoe.model.moe.capacity import Capacity, check_groups_split, examples_per_group
from mtmoe.model.moe.routers.switch import SwitchRouter, TokenChoice
from mtmoe.model.moe.statistics import LayerRouting


@gin.configurable
@dataclasses.dataclass(frozen=True)
class MixtureOfExperts:
    """Configuration of a model's Switch layers.

    Attributes:
      num_experts: experts of a layer.
      router: how tokens choose.
      capacity: how many tokens an expert takes.
      group_size: most positions, padding included, that compete for the same slots. A
        group is made of whole examples and never of less than one. Large groups drop
        fewer tokens: group_size / num_experts >= 32 keeps the drops of a balanced
        router below 1 % at a capacity factor of 1.25. Groups are never cut by a layout.
      dropout_rate: dropout of the experts' hidden activations ("expert dropout", Fedus
        et al. 2022, section 2.4), for fine-tuning.
    """

    num_experts: int
    router: SwitchRouter = dataclasses.field(default_factory=SwitchRouter)
    capacity: Capacity = dataclasses.field(default_factory=Capacity)
    group_size: int = 4096
    dropout_rate: float = 0.0

    def __post_init__(self) -> None:
        """Checks the counts."""
        for name in ("num_experts", "group_size"):
            if getattr(self, name) < 1:
                raise ConfigError(
                    f"MixtureOfExperts.{name} must be at least 1, got "
                    f"{getattr(self, name)}"
                )


@dataclasses.dataclass(frozen=True)
class SwitchLayer:
    """y = p_i(x) E_i(x), i = argmax p(x); exactly 0 for dropped tokens and padding.

    Switch Transformer (Fedus et al. 2022), section 2.

    Attributes:
      config: experts, router and capacity.
      expert: one expert's network; its dropout rate is the one of `config`.
    """

    config: MixtureOfExperts
    expert: FeedForward

    def __call__(
        self,
        context: GraphContext,
        x: mtf.Tensor,
        tokens: Tokens,
        name: str,
    ) -> tuple[mtf.Tensor, LayerRouting]:
        """Applies the layer.

        Args:
          context: graph being built.
          x: [batch, length, d_model].
          tokens: which places are padding, which is not routed, takes no slot and is
            not counted; and the languages to count by, if any. Tokens of packed rows
            compete for slots like those of neighbouring examples.
          name: the layer's name in statistics and errors.

        Returns:
          A tensor of the shape of `x`, and the routing.

        Raises:
          LayoutError: the layout would cut through a group.
        """
        batch, length, d_model = x.shape.dims
        per_group = examples_per_group(batch.size, length.size, self.config.group_size)
        groups = mtf.Dimension("batch", batch.size // per_group)
        group = mtf.Dimension("group", per_group * length.size)
        check_groups_split(groups.size, context.layout.splits("batch"), name)
        experts = mtf.Dimension("experts_unsplit", self.config.num_experts)
        slots_per_expert = self.config.capacity.slots(
            group.size, experts.size, context.training
        )
        # [batch, length, d_model] -> [batch, group, d_model]
        grouped = mtf.reshape(x, [groups, group, d_model])
        token_mask = mtf.reshape(tokens.nonpadding, [groups, group])
        choice = self.config.router(
            context, grouped, token_mask, experts, self.expert.initialization_scale
        )
        slots = assign_slots(
            choice.expert,
            group,
            experts,
            mtf.Dimension("expert_capacity", slots_per_expert),
            keep_mask=token_mask,
        )
        outputs = self._experts(context, dispatch(grouped, slots))
        y = combine(outputs, slots) * mtf.cast(choice.gate, outputs.dtype)
        # [batch, group, d_model] -> [batch, length, d_model]
        return mtf.reshape(y, x.shape), _statistics(name, choice, slots, tokens)

    def _experts(self, context: GraphContext, dispatched: mtf.Tensor) -> mtf.Tensor:
        """Runs every expert on its slots: a tensor of the shape of `dispatched`."""
        groups, unsplit, capacity, d_model = dispatched.shape.dims
        experts = mtf.Dimension("experts", unsplit.size)
        inner = groups
        if _share_mesh_axis(context.layout, groups, experts):
            inner = mtf.Dimension("batch_unsplit", groups.size)
        x = mtf.reshape(dispatched, [inner, experts, capacity, d_model])
        x = mtf.transpose(x, mtf.Shape([experts, inner, capacity, d_model]))
        expert = dataclasses.replace(self.expert, dropout_rate=self.config.dropout_rate)
        with context.scope("experts"):
            y = expert(context, x, expert_dims=[experts])
        y = mtf.transpose(y, mtf.Shape([inner, experts, capacity, d_model]))
        return mtf.reshape(y, dispatched.shape)


def _share_mesh_axis(layout: Layout, *dims: mtf.Dimension) -> bool:
    """Whether all of `dims` are split, over one and the same mesh axis."""
    axes = {
        layout.rules.tensor_dimension_to_mesh_axis(dim, layout.mesh_dimensions)
        for dim in dims
    }
    return len(axes) == 1 and axes != {None}


def _statistics(
    name: str, choice: TokenChoice, slots: SlotAssignment, tokens: Tokens
) -> LayerRouting:
    nonpadding = tokens.nonpadding
    batch, length = nonpadding.shape.dims
    experts = slots.experts_dim
    # [batch=groups, group, experts_unsplit] -> [batch, length, experts_unsplit]
    first_choice = mtf.reshape(choice.first_choice, [batch, length, experts])
    expert_counts = mtf.reduce_sum(first_choice, output_shape=[batch, experts])
    has_slot = mtf.reshape(mtf.cast(slots.has_slot, tf.float32), nonpadding.shape)
    dropped_counts = mtf.reduce_sum(nonpadding - has_slot, output_shape=[batch])
    total = mtf.maximum(mtf.reduce_sum(nonpadding), 1.0)
    language_counts = None
    if tokens.languages is not None:
        languages = tokens.languages.shape.dims[-1]
        language_counts = mtf.einsum(
            [tokens.languages, first_choice], output_shape=[languages, experts]
        )
    return LayerRouting(
        name=name,
        balance_loss=choice.balance_loss,
        z_loss=choice.z_loss,
        entropy=choice.entropy,
        dropped_fraction=mtf.reduce_sum(dropped_counts) / total,
        expert_fraction=mtf.reduce_sum(expert_counts, output_shape=[experts]) / total,
        expert_counts=expert_counts,
        dropped_counts=dropped_counts,
        language_counts=language_counts,
    )
