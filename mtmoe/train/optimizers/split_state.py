"""The optimizer's state split over processors that share a parameter (ZeRO).

Processors that hold the same parameters would keep the same moments and compute the
same update. With a layout rule for `optimizer_state`, each keeps a part of the moments,
gets its part of the gradient's sum (reduce-scatter), computes its part of the update,
and the parts are gathered (Rajbhandari et al. 2020, stage 1; Xu et al. 2020, "Automatic
cross-replica sharding of weight update in data-parallel training"). What is computed is
the same.
"""

from __future__ import annotations

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.mesh.layout import Layout
from mtmoe.mesh.scatter import scatter
from mtmoe.train.optimizers.interface import Gradients, num_stacked_dims

OPTIMIZER_STATE = "optimizer_state"
"""The dimension that a layout names to split the optimizer's state."""


def split_gradients(context: GraphContext, gradients: Gradients) -> Gradients:
    """Splits the gradients over the processors that split the optimizer's state.

    The state has the shape of the gradient, so this lays the state out: one dimension
    of each gradient, None where a variable has none, is renamed to `optimizer_state` if
    one can be split.
    """
    if context.layout.splits(OPTIMIZER_STATE) == 1:
        return gradients
    pairs = []
    for variable, gradient in gradients:
        dim = state_dimension(variable.shape, context.layout)
        if dim is not None and gradient is not None:
            gradient = scatter(gradient, dim, OPTIMIZER_STATE)
        pairs.append((variable, gradient))
    return pairs


def state_dimension(shape: mtf.Shape, layout: Layout) -> mtf.Dimension | None:
    """Returns which dimension of a variable's state is split.

    The first that divides evenly and that no rule splits; never the experts, which
    share no statistics. None where there is none, or where the variable itself is split
    over the same processors, and its state with it.
    """
    axis, ways = layout.axis(OPTIMIZER_STATE), layout.splits(OPTIMIZER_STATE)
    if axis is None or any(layout.axis(dim.name) == axis for dim in shape):
        return None
    for dim in shape.dims[num_stacked_dims(shape) :]:
        if layout.axis(dim.name) is None and dim.size % ways == 0:
            return dim
    return None
