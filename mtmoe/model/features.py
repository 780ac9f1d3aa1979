"""The batch as the model takes it."""

from __future__ import annotations

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.mesh.program import Features


def import_features(
    context: GraphContext, features: Features
) -> tuple[mtf.Tensor, mtf.Tensor]:
    """Lays `inputs` and `targets` out on the mesh.

    Args:
      context: graph being built.
      features: holds both, int32 [batch, length] each, 0 = padding.

    Returns:
      The two as tensors of the named dimensions `batch` and `length`.
    """
    inputs, targets = (
        context.import_tensor(
            features[name],
            mtf.Shape(
                [
                    mtf.Dimension("batch", features[name].shape[0]),
                    mtf.Dimension("length", features[name].shape[1]),
                ]
            ),
        )
        for name in ("inputs", "targets")
    )
    return inputs, targets
