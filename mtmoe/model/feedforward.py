"""The position-wise feed-forward network, dense or of many experts at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.mesh.initializers import zeros
from mtmoe.model.activations import named_activation
from mtmoe.model.counts import ForwardFlops, Lengths, ParameterCount, Sizes
from mtmoe.model.initialization import scaled_normal
from mtmoe.model.sublayer import Output, PositionWise, Surroundings
from mtmoe.ranges import Count, Positive, Rate, check_fields


@dataclasses.dataclass(frozen=True)
class FeedForward:
    """wo(act(wi(x))), or wo(act(wi_gate(x)) * wi(x)) for a gated activation.

    Shazeer 2020, "GLU variants improve Transformer", equations 1 to 6.

    Attributes:
      d_ff: hidden width.
      activation: a name in `mtmoe.model.activations`.
      dropout_rate: dropout of the hidden activation.
      initialization_scale: see `scaled_normal`.
      use_bias: whether each projection adds a bias, 0 at first.
      output: what the network makes; the width of its input if None.
    """

    d_ff: Count
    activation: str = "relu"
    dropout_rate: Rate = 0.0
    initialization_scale: Positive = 1.0
    use_bias: bool = False
    output: mtf.Dimension | None = None

    def __post_init__(self) -> None:
        """Checks the ranges and the activation's name."""
        check_fields(self)
        named_activation(self.activation)

    @property
    def num_input_projections(self) -> int:
        """Matrices from d_model to d_ff: two where the activation is gated."""
        return 2 if named_activation(self.activation).gated else 1

    def num_parameters(self, d_model: int) -> int:
        """Returns the parameters of one network, biases included."""
        weights = self.flops(d_model) // 2
        if not self.use_bias:
            return weights
        return weights + self.num_input_projections * self.d_ff + self._width(d_model)

    def flops(self, d_model: int) -> int:
        """Returns the operations on one token: two a weight of the matrices."""
        inputs = self.num_input_projections * d_model
        return 2 * (inputs + self._width(d_model)) * self.d_ff

    def _width(self, d_model: int) -> int:
        return d_model if self.output is None else self.output.size

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
          The shape of `x`, with `output` for its last dimension.
        """
        activation = named_activation(self.activation)
        d_model = x.shape.dims[-1]
        d_ff = mtf.Dimension("d_ff", self.d_ff)

        def project(name: str, inputs: mtf.Tensor, output: mtf.Dimension) -> mtf.Tensor:
            fan_in = inputs.shape.dims[-1]
            weights = context.variable(
                name,
                [*expert_dims, fan_in, output],
                scaled_normal(self.initialization_scale, fan_in.size),
            )
            y = mtf.einsum(
                [inputs, weights], output_shape=inputs.shape - fan_in + output
            )
            if self.use_bias:
                y += context.variable(f"{name}_bias", [*expert_dims, output], zeros)
            return y

        names = ["wi_gate", "wi"] if activation.gated else ["wi"]
        hidden = activation(*(project(name, x, d_ff) for name in names))
        hidden = self.change_hidden(context, hidden, expert_dims)
        noise_shape = hidden.shape
        if noise_broadcast_dim is not None:
            noise_shape -= noise_broadcast_dim
        hidden = context.dropout(hidden, self.dropout_rate, "hidden", noise_shape)
        return project("wo", hidden, self.output or d_model)

    def change_hidden(
        self,
        context: GraphContext,
        hidden: mtf.Tensor,
        expert_dims: Sequence[mtf.Dimension],
    ) -> mtf.Tensor:
        """Returns `hidden` [..., d_ff]; for networks that do something there."""
        del context, expert_dims
        return hidden


@dataclasses.dataclass(frozen=True)
class DenseFeedForward(PositionWise):
    """One network for all tokens.

    Attributes:
      network: the network; dropout noise is shared over the length, as in T5.
    """

    network: FeedForward

    def call(
        self, context: GraphContext, x: mtf.Tensor, around: Surroundings
    ) -> Output:
        """Applies it to each position, x [batch, length, d_model]."""
        del around
        return Output(self.network(context, x, noise_broadcast_dim=x.shape.dims[1]))

    def sizes(self, lengths: Lengths) -> Sizes:
        """Counts the network."""
        d_model, network = lengths.d_model, self.network
        return Sizes(
            ParameterCount(feed_forward=network.num_parameters(d_model)),
            flops=ForwardFlops(feed_forward=lengths.length * network.flops(d_model)),
        )
