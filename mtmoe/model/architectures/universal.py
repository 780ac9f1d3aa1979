"""Layers that share their parameters: Universal Transformer and ALBERT.

Depth then costs time and no parameters. Every pass draws noise of its own; a shared
variable's gradient is the sum over its passes.

* ALBERT (Lan et al. 2020, section 3.1): all of a layer is shared, or its attention, or
  its feed-forward network. Layers form groups of neighbours, each with its own
  parameters, as in the released code (`num_hidden_groups`). The embedding is a product
  of two smaller tables.
* Universal Transformer (Dehghani et al. 2019, section 2.1): one layer in n passes.
  Sinusoids of the place and of the pass are added to x before each (equation 6), and
  norms stand behind the sums. Without adaptive halting (section 2.2).
"""

from __future__ import annotations

import dataclasses
import math
from typing import Literal, get_args

import gin
import tensorflow as tf

from mtmoe.errors import ConfigError, UnknownNameError
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.mesh.initializers import truncated_normal
from mtmoe.mesh.lookup import embedding_lookup
from mtmoe.model.counts import ForwardFlops, Lengths, ParameterCount, Sizes
from mtmoe.model.features import Tokens
from mtmoe.model.logits import vocabulary_product
from mtmoe.model.positions.absolute import SinusoidalPositions
from mtmoe.model.residual import Block, Entry, Residual
from mtmoe.model.stack import Stack
from mtmoe.model.sublayer import Output, PositionWise, Surroundings
from mtmoe.model.t5 import StackPlan, T5Fields, t5_stack
from mtmoe.ranges import Count, check_fields

Shared = Literal["all", "attention", "feed_forward"]


@gin.configurable
@dataclasses.dataclass(frozen=True)
class SharedLayers:
    """T5's stack whose layers share parameters; a model's `architecture`.

    Attributes:
      shared: "all" of a layer, "attention" alone or "feed_forward" alone.
      groups: how many groups of neighbouring layers share; 1 for all layers.
      pass_signals: whether sinusoids of place and pass are added before each layer; the
        model's `positions` should be "none" then.
      post_norm: whether norms stand behind the sums and not before the sublayers.
    """

    shared: Shared = "all"
    groups: Count = 1
    pass_signals: bool = False
    post_norm: bool = False

    def __post_init__(self) -> None:
        """Checks the ranges and the name."""
        check_fields(self)
        if self.shared not in get_args(Shared):
            raise UnknownNameError(
                "part of a layer", self.shared, get_args(Shared), "SharedLayers.shared"
            )

    def __call__(self, plan: StackPlan) -> Stack:
        """Makes a stack."""
        if self.groups > plan.num_layers:
            raise ConfigError(
                f"SharedLayers.groups is {self.groups}, the {plan.name} has "
                f"{plan.num_layers} layers"
            )
        stack = t5_stack(plan)
        entries: list[Entry] = []
        for layer, entry in enumerate(stack.entries):
            if self.pass_signals:
                entries.append(_signal_entry(layer))
            block = entry.block
            if self.post_norm:
                block = tuple(_behind(residual) for residual in block)
            entries.extend(self._entries(block, layer, plan.num_layers))
        norm = None if self.post_norm else stack.norm
        return dataclasses.replace(stack, entries=tuple(entries), norm=norm)

    def _entries(self, block: Block, layer: int, num_layers: int) -> list[Entry]:
        """One entry, or one of what is shared and one of what is not."""
        own, call = f"layer_{layer:03d}", f"pass_{layer:03d}"
        group = f"shared_{layer * self.groups // num_layers:03d}"
        if self.shared == "all":
            return [Entry(block, group, call)]
        parts: list[Entry] = []
        for residual in block:
            is_attention = "attention" in residual.name
            if is_attention == (self.shared == "attention"):
                parts.append(Entry((residual,), f"{group}_{residual.name}", call))
            else:
                parts.append(Entry((residual,), f"{own}_{residual.name}"))
        return parts


def _behind(residual: Residual) -> Residual:
    return dataclasses.replace(residual, norm=None, output_norm=residual.norm)


@dataclasses.dataclass(frozen=True)
class PassSignal(PositionWise):
    """sin(place / r_i) + sin(pass / r_i), r_i = 10000^(2i / d_model), and cosines.

    Dehghani et al. 2019, equation 6. It does not look at x, to which it is added.

    Attributes:
      number: of the pass, from 1.
    """

    number: int

    def call(
        self, context: GraphContext, x: mtf.Tensor, around: Surroundings
    ) -> Output:
        """Returns [batch, length, d_model]."""
        places, signal = around.places(), SinusoidalPositions()
        passes = mtf.zeros_like(places) + self.number
        width = x.shape.dims[-1]
        return Output(signal(context, places, width) + signal(context, passes, width))

    def sizes(self, lengths: Lengths) -> Sizes:
        """Nothing is learned."""
        del lengths
        return Sizes()


def _signal_entry(layer: int) -> Entry:
    signal = PassSignal(layer + 1)
    residual = Residual(name="pass_signal", sublayer=signal, norm=None)
    return Entry((residual,), f"signal_{layer:03d}")


@gin.configurable
@dataclasses.dataclass(frozen=True)
class FactorizedEmbedding:
    """An embedding [vocab, width] [width, d_model]; a model's `inputs`.

    Attributes:
      width: the inner width, E in the paper.
    """

    width: Count = 128

    def __post_init__(self) -> None:
        """Checks the range."""
        check_fields(self)

    def __call__(self, model: T5Fields) -> FactorizedTable:
        """Makes the embedding."""
        return FactorizedTable(model.vocab_size, model.d_model, self.width)


@gin.configurable
@dataclasses.dataclass(frozen=True)
class FactorizedLogits:
    """Logits with both factors of a `FactorizedEmbedding`; a model's `outputs`."""

    def __call__(self, model: T5Fields) -> TableLogits:
        """Makes the logits.

        Raises:
          ConfigError: the model's `inputs` are no `FactorizedEmbedding`.
        """
        table = model.embedding
        if not isinstance(table, FactorizedTable):
            name = type(model).__name__
            raise ConfigError(
                f"{name}.outputs = @FactorizedLogits() needs {name}.inputs = "
                "@FactorizedEmbedding()"
            )
        return TableLogits(table)


@dataclasses.dataclass(frozen=True)
class FactorizedTable:
    """A table of one narrow vector a token, and a matrix that widens them.

    Each factor starts with sigma = width^-1/4, so that the product has the sigma of 1
    that a whole table starts with (Mesh TensorFlow's `FactorizedVocabEmbedding`).

    Attributes:
      vocab_size: number of rows, at least the number of token ids.
      d_model: width of what it makes.
      width: width of a row.
    """

    vocab_size: Count
    d_model: Count
    width: Count

    def factors(self, context: GraphContext) -> tuple[mtf.Tensor, mtf.Tensor]:
        """Returns float32 [vocab, embedding_width], [embedding_width, d_model]."""
        width = mtf.Dimension("embedding_width", self.width)
        shapes = {
            "embedding": [mtf.Dimension("vocab", self.vocab_size), width],
            "embedding_projection": [width, mtf.Dimension("d_model", self.d_model)],
        }
        initial = truncated_normal(1.0 / math.sqrt(math.sqrt(self.width)))
        table, projection = (
            context.variable(name, shape, initial, dtype=tf.float32)
            for name, shape in shapes.items()
        )
        return table, projection

    def __call__(self, context: GraphContext, tokens: Tokens) -> mtf.Tensor:
        """Looks the ids up; returns [batch, length, d_model]."""
        table, projection = self.factors(context)
        width, d_model = projection.shape.dims
        narrow = embedding_lookup(table, tokens.ids, tokens.ids.shape + width)
        wide = mtf.einsum([narrow, projection], output_shape=tokens.ids.shape + d_model)
        return mtf.cast(wide, context.activation_dtype)

    def sizes(self, lengths: Lengths) -> Sizes:
        """Counts both factors, and the product that widens."""
        product = 2 * lengths.length * self.width * self.d_model
        return Sizes(
            ParameterCount(embedding=self.width * (self.vocab_size + self.d_model)),
            flops=ForwardFlops(embedding=product),
        )


@dataclasses.dataclass(frozen=True)
class TableLogits:
    """Products with both factors, scaled by d_model^-0.5.

    Attributes:
      embedding: whose factors they are.
    """

    embedding: FactorizedTable

    @property
    def vocab_size(self) -> int:
        """The rows of the table."""
        return self.embedding.vocab_size

    def __call__(self, context: GraphContext, x: mtf.Tensor) -> mtf.Tensor:
        """Scores every token: [batch, length, d_model] -> float32 [.., vocab]."""
        table, projection = self.embedding.factors(context)
        width, d_model = projection.shape.dims
        x = mtf.cast(x, tf.float32) * self.embedding.d_model**-0.5
        narrow = mtf.einsum([x, projection], output_shape=x.shape - d_model + width)
        return vocabulary_product(context, narrow, table)

    def sizes(self, lengths: Lengths) -> Sizes:
        """Counts products alone."""
        table = self.embedding
        per_token = 2 * table.width * (table.d_model + table.vocab_size)
        return Sizes(flops=ForwardFlops(logits=lengths.length * per_token))
