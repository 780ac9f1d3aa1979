"""The position-wise feed-forward network, dense or of many experts at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from mtmoe.errors import UnknownNameError
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.model.initialization import scaled_normal

# Name -> (activation, whether a second projection is multiplied in).
ACTIVATIONS: dict[str, tuple[Callable[[mtf.Tensor], mtf.Tensor], bool]] = {
    "relu": (mtf.relu, False),
    "geglu": (mtf.gelu, True),
}


@dataclasses.dataclass(frozen=True)
class FeedForward:
    """wo(act(wi(x))), or wo(gelu(wi_gate(x)) * wi(x)) for GEGLU; no biases.

    Shazeer 2020, "GLU variants improve Transformer", equations 3 and 6.

    Attributes:
      d_ff: hidden width.
      activation: "relu" or "geglu".
      dropout_rate: dropout of the hidden activation.
      initialization_scale: see `scaled_normal`.
    """

    d_ff: int
    activation: str = "relu"
    dropout_rate: float = 0.0
    initialization_scale: float = 1.0

    def __post_init__(self) -> None:
        """Checks the activation's name."""
        if self.activation not in ACTIVATIONS:
            raise UnknownNameError("activation", self.activation, ACTIVATIONS)

    @property
    def num_input_projections(self) -> int:
        """Matrices from d_model to d_ff: two where the activation is gated."""
        return 2 if ACTIVATIONS[self.activation][1] else 1

    def __call__(
        self,
        context: GraphContext,
        x: mtf.Tensor,
        expert_dims: Sequence[mtf.Dimension] = (),
        noise_broadcast_dim: mtf.Dimension | None = None,
    ) -> mtf.Tensor:
        """Applies the network to the last dimension of `x`.

        Args:
          context: graph being built.
          x: [..., d_model].
          expert_dims: leading dimensions of the weights; one network for each of their
            values, applied to the slice of `x` with the same value.
          noise_broadcast_dim: dimension of `x` over which dropout noise is shared.

        Returns:
          A tensor of the shape of `x`.
        """
        activation, gated = ACTIVATIONS[self.activation]
        d_model = x.shape.dims[-1]
        d_ff = mtf.Dimension("d_ff", self.d_ff)
        hidden_shape = x.shape - d_model + d_ff

        def project(name: str, inputs: mtf.Tensor, output: mtf.Shape) -> mtf.Tensor:
            fan_in = inputs.shape.dims[-1]
            weights = context.variable(
                name,
                [*expert_dims, fan_in, output.dims[-1]],
                scaled_normal(self.initialization_scale, fan_in.size),
            )
            return mtf.einsum([inputs, weights], output_shape=output)

        hidden = activation(project("wi_gate" if gated else "wi", x, hidden_shape))
        if gated:
            hidden *= project("wi", x, hidden_shape)
        noise_shape = hidden.shape
        if noise_broadcast_dim is not None:
            noise_shape -= noise_broadcast_dim
        hidden = context.dropout(hidden, self.dropout_rate, "hidden", noise_shape)
        return project("wo", hidden, x.shape)
