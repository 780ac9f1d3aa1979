"""What routers that learn nothing have in common."""

from __future__ import annotations

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.mesh.slots import assign_slots
from mtmoe.model.moe.routers.interface import RouterInput, RouterOutput


def unscored_output(
    context: GraphContext,
    inputs: RouterInput,
    expert: mtf.Tensor,
    first_choice: mtf.Tensor,
) -> RouterOutput:
    """Returns the output of a router without scores: weight 1, no losses, no entropy.

    All tokens are equally sure of their expert, so that slots go by position.

    Args:
      context: graph being built.
      inputs: the tokens.
      expert: int32 [batch, group].
      first_choice: float32 [batch, group, experts_unsplit], its one-hot.
    """
    zero = mtf.zeros(context.mesh, mtf.Shape([]))
    nothing = mtf.zeros(context.mesh, inputs.nonpadding.shape)
    return RouterOutput(
        slots=assign_slots(
            expert,
            inputs.token_dim,
            inputs.experts,
            inputs.capacity,
            keep_mask=inputs.nonpadding,
            method=inputs.dispatch,
        ),
        weights=mtf.ones(context.mesh, inputs.nonpadding.shape),
        first_choice=first_choice,
        balance_loss=zero,
        z_loss=zero,
        entropy=nothing,
        log_z=nothing,
    )
