"""A layer of experts: many feed-forward networks, of which each token sees a few.

Dimensions cheat sheet, after the one of `mesh_tensorflow/transformer/moe.py`. ` marks
the dimension that is split over the mesh when examples and experts are split over the
same mesh axis; G groups of S tokens are made of B examples of length L.

    x                 [batch=B`, length=L, d_model]
                        v reshape: whole neighbouring examples form a group
    tokens            [batch=G`, group=S, d_model]
    router            [batch=G`, group=S, experts_unsplit]
                        v dispatch, by gather or by einsum
    dispatched        [batch=G`, experts_unsplit, expert_capacity, d_model]
                        v reshape: all-to-all
                      [batch_unsplit=G, experts`, expert_capacity, d_model]
                        v transpose, within a device
    expert inputs     [experts`, batch_unsplit=G, expert_capacity, d_model]
    hidden            [experts`, batch_unsplit=G, expert_capacity, d_ff]
    expert outputs    [experts`, batch_unsplit=G, expert_capacity, d_model]
                        v the same way back, combine with the router's weights
    tokens            [batch=G`, group=S, d_model]
                        v reshape
    y                 [batch=B`, length=L, d_model]

Where examples and experts are split over different axes, or one of them is not split,
`batch` keeps its name all the way, and there is no all-to-all. Where the layout cuts
through groups, rows are gathered first: see `mtmoe.model.moe.groups`.
"""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from mtmoe.errors import ConfigError
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.mesh.dispatch import combine, dispatch
from mtmoe.model.counts import ForwardFlops, Lengths, ParameterCount, Sizes
from mtmoe.model.features import Tokens
from mtmoe.model.feedforward import FeedForward
from mtmoe.model.moe.blocks import run_in_blocks
from mtmoe.model.moe.capacity import check_groups_within
from mtmoe.model.moe.groups import ExpertSlots, RowGroups
from mtmoe.model.moe.mixture import PACKED_PRIORITY, ROW_PRIORITY, MixtureOfExperts
from mtmoe.model.moe.routers.interface import RouterInput, RouterOutput
from mtmoe.model.routing import LayerRouting, TokenRouting, layer_routing


@dataclasses.dataclass(frozen=True)
class MixtureOfExpertsLayer:
    """y = sum_i weight_i(x) E_i(x) over the experts i that the router chose for x.

    Switch Transformer (Fedus et al. 2022), section 2. Without a shared expert, y is
    exactly 0 for dropped tokens and padding.

    Attributes:
      config: experts, router and capacity.
      expert: one expert's network; its dropout rate is the one of `config`.
      causal: whether its stack's tokens may not see those after them.

    Raises:
      ConfigError: the router looks at later tokens, and the stack is causal.
    """

    config: MixtureOfExperts
    expert: FeedForward
    causal: bool = False

    def __post_init__(self) -> None:
        """Checks that the router looks no further than the stack."""
        if self.causal and not self.config.router.causal:
            raise ConfigError(
                f"{type(self.config.router).__name__} lets the experts of a token "
                "depend on the tokens after it, which a decoder has yet to write; "
                "MixtureOfExperts.router must be causal in a model with a decoder, as "
                "SwitchRouter is"
            )

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
          A tensor of the shape of `x`, but for an `output` of the expert's own, and
          the routing.

        Raises:
          ConfigError: microbatches would cut through a group.
        """
        config = self.config
        rows = self._groups(context, x, name)
        inputs = self._router_input(context, rows, x, tokens, name)
        routed = config.router(rows.context(context), inputs)
        if self._takes_every_token(context, routed):
            y = run_in_blocks(context, inputs.x, routed, self.expert)
        else:
            dispatched = dispatch(inputs.x, routed.slots, inputs.dispatch)
            outputs = self._experts(context, dispatched, rows)
            y = combine(outputs, routed.slots, routed.weights, inputs.dispatch)
        y = rows.to_rows(y)
        shared = self.shared_expert
        if shared is not None:
            with context.scope("shared_expert"):
                y += shared(context, x, noise_broadcast_dim=x.shape.dims[1])
        return y, _statistics(name, routed, inputs, rows, tokens)

    @property
    def shared_expert(self) -> FeedForward | None:
        """The expert that every token sees beside its own; None without one."""
        config = self.config
        if not config.shared_d_ff:
            return None
        return dataclasses.replace(
            self.expert, d_ff=config.shared_d_ff, dropout_rate=config.dropout_rate
        )

    def sizes(self, lengths: Lengths) -> Sizes:
        """Counts experts, shared experts and routers, by formula."""
        d_model, experts = lengths.d_model, self.config.num_experts
        router, shared = self.config.router, self.shared_expert
        one = self.expert.num_parameters(d_model)
        matrices = router.num_matrices * d_model * experts
        flops = router.num_choices * self.expert.flops(d_model)
        if shared is not None:
            flops += shared.flops(d_model)
        return Sizes(
            ParameterCount(
                feed_forward=shared.num_parameters(d_model) if shared else 0,
                experts=experts * one,
                routers=matrices,
            ),
            idle=(experts - router.num_choices) * one,
            flops=ForwardFlops(
                feed_forward=lengths.length * flops,
                routers=2 * lengths.length * matrices,
            ),
        )

    def _takes_every_token(self, context: GraphContext, routed: RouterOutput) -> bool:
        """Whether all tokens have room, without a gradient, on one device."""
        return (
            not context.training
            and self.config.capacity.evaluation_factor is None
            and context.layout.size == 1
            and routed.slots.slot_of_token is not None
        )

    def _groups(self, context: GraphContext, x: mtf.Tensor, name: str) -> RowGroups:
        """Which rows are routed together: those of the whole batch."""
        batch, length, _ = x.shape.dims
        per_group = self.config.examples_per_group(
            batch.size * context.microbatches, length.size, self.expert.d_ff
        )
        side_by_side = context.outer_parts
        if side_by_side < context.microbatches:
            side_by_side = 1  # parts one after the other cannot see each other's rows
        check_groups_within(batch.size * side_by_side, per_group, length.size, name)
        return RowGroups.make(batch, length, per_group, context.layout, side_by_side)

    def _router_input(
        self,
        context: GraphContext,
        rows: RowGroups,
        x: mtf.Tensor,
        tokens: Tokens,
        name: str,
    ) -> RouterInput:
        """Groups the tokens: [batch, length, ...] -> [batch, group, ...]."""
        config = self.config
        slots = config.capacity.slots(
            rows.group.size, config.num_experts, context.training
        )
        priority = config.priority
        if priority is None:
            priority = ROW_PRIORITY if tokens.segments is None else PACKED_PRIORITY
        return RouterInput(
            x=rows.of_rows(x),
            ids=rows.of_rows(tokens.ids),
            nonpadding=rows.of_rows(tokens.nonpadding),
            experts=mtf.Dimension("experts_unsplit", config.num_experts),
            capacity=mtf.Dimension("expert_capacity", slots),
            priority=priority,
            initialization_scale=self.expert.initialization_scale,
            where=name,
            dispatch=config.dispatch_method,
        )

    def _experts(
        self, context: GraphContext, dispatched: mtf.Tensor, rows: RowGroups
    ) -> mtf.Tensor:
        """Runs every expert on its slots; keeps the dimensions of `dispatched`."""
        slots = ExpertSlots.make(
            dispatched.shape - dispatched.shape.dims[-1], rows, context.layout
        )
        x = slots.to_experts(dispatched)
        expert = dataclasses.replace(self.expert, dropout_rate=self.config.dropout_rate)
        with context.scope("experts"):
            y = expert(context, x, expert_dims=x.shape.dims[:1])
        return slots.from_experts(y)


def _statistics(
    name: str,
    routed: RouterOutput,
    inputs: RouterInput,
    rows: RowGroups,
    tokens: Tokens,
) -> LayerRouting:
    """Ungroups what is told about each token, and sums it up."""
    losses = (routed.balance_loss, routed.z_loss)
    if rows.outer > 1:  # of all groups: each outer part has its share, to be added up
        losses = (losses[0] / rows.outer, losses[1] / rows.outer)
    per_token = TokenRouting(
        first_choice=rows.to_rows(routed.first_choice),
        dropped=rows.to_rows(_dropped(routed, inputs.nonpadding)),
        entropy=rows.to_rows(routed.entropy),
        log_z=rows.to_rows(routed.log_z),
    )
    return layer_routing(
        name,
        losses,
        per_token,
        tokens.nonpadding,
        tokens.languages,
    )


def _dropped(routed: RouterOutput, nonpadding: mtf.Tensor) -> mtf.Tensor:
    """Fraction of each token's wishes that found no slot: float32 [batch, group]."""
    has_slot = mtf.cast(routed.slots.has_slot, tf.float32)
    choice = routed.slots.choice_dim
    wanted = routed.wanted
    if wanted is None:
        wanted = nonpadding
        if choice is not None:
            wanted *= float(choice.size)
    elif choice is not None:
        wanted = mtf.reduce_sum(wanted, reduced_dim=choice)
    if choice is None:
        return wanted - has_slot
    lost = wanted - mtf.reduce_sum(has_slot, reduced_dim=choice)
    return lost / mtf.maximum(wanted, 1.0)
