"""The one table of names and transpositions, read from either side.

Their linear layers hold [outputs, inputs] and multiply from the right by the transpose;
our matrices are [inputs, outputs], with `heads` and `d_kv` as dimensions of their own
and all experts of a layer in one variable. Whether a tensor is transposed is a column
of the table and never told from its shape: square matrices have none to tell by.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

import numpy as np
import numpy.typing as npt

from mtmoe.errors import CheckpointError
from mtmoe.model.attention.cross_attention import CrossAttention
from mtmoe.model.attention.self_attention import SelfAttention
from mtmoe.model.encoder_decoder import EncoderDecoder
from mtmoe.model.feedforward import DenseFeedForward, FeedForward
from mtmoe.model.moe.feedforward import SparseFeedForward
from mtmoe.model.parts import stacks_of
from mtmoe.model.stack import Stack
from mtmoe.model.sublayer import Sublayer

Array = npt.NDArray[Any]

EMBEDDING = "shared.weight"
LOGITS = "lm_head.weight"


@dataclasses.dataclass(frozen=True)
class Row:
    """One variable of ours and the tensors of theirs that hold it.

    Attributes:
      ours: name of the variable.
      shape: its shape.
      theirs: name of the tensor; one an expert where `shape` begins with the experts.
      matrix: [inputs, outputs] of the matrix each of their tensors holds transposed;
        None for what is no matrix (scales and lookup tables) and has our shape there.
    """

    ours: str
    shape: tuple[int, ...]
    theirs: tuple[str, ...]
    matrix: tuple[int, int] | None = None

    @property
    def their_shape(self) -> tuple[int, ...]:
        """Shape of each of their tensors."""
        return self.shape if self.matrix is None else self.matrix[::-1]

    def take(self, tensors: MutableMapping[str, Array]) -> Array:
        """Takes this row's tensors out of `tensors`; returns our float32 variable.

        Raises:
          CheckpointError: one is missing or of another shape.
        """
        parts = [self._take_one(tensors, name) for name in self.theirs]
        # A reshape of the stack, since the experts, where there are any, come first.
        return np.ascontiguousarray(np.stack(parts).reshape(self.shape), np.float32)

    def give(self, value: Array) -> Iterator[tuple[str, Array]]:
        """Yields their tensors, by name, of our variable.

        Raises:
          CheckpointError: the variable is of another shape.
        """
        if value.shape != self.shape:
            raise CheckpointError(
                f"variable {self.ours} has shape {value.shape}, the configuration "
                f"gives {self.shape}"
            )
        inner = self.shape if self.matrix is None else self.matrix
        for name, part in zip(
            self.theirs, value.reshape(len(self.theirs), *inner), strict=True
        ):
            yield name, np.ascontiguousarray(part if self.matrix is None else part.T)

    def _take_one(self, tensors: MutableMapping[str, Array], name: str) -> Array:
        if name not in tensors:
            raise CheckpointError(
                f"tensor {name} is missing; {self.ours} is made of it"
            )
        tensor = tensors.pop(name)
        if tensor.shape != self.their_shape:
            raise CheckpointError(
                f"tensor {name} has shape {tensor.shape}, config.json gives "
                f"{self.their_shape}"
            )
        return tensor if self.matrix is None else tensor.T


@dataclasses.dataclass(frozen=True)
class _Place:
    """Where a sublayer is.

    Attributes:
      model: the model it belongs to.
      ours: scope of its variables.
      theirs: name of their layer, as `encoder.block.0.layer.1`.
      feed_forward: their name of the module inside a feed-forward layer.
    """

    model: EncoderDecoder
    ours: str
    theirs: str
    feed_forward: str


def table(model: EncoderDecoder, feed_forward: str) -> tuple[Row, ...]:
    """Returns a row for every variable of `model`.

    Args:
      model: whose variables; one that `config_of` finds a configuration for.
      feed_forward: their name of the module inside a feed-forward layer:
        `DenseReluDense` in T5 and mT5, `mlp` in Switch Transformers.
    """
    rows = [Row("embedding", (model.vocab_size, model.d_model), (EMBEDDING,))]
    if not model.tied_embeddings:
        shape = (model.d_model, model.vocab_size)
        rows.append(Row("logits", shape, (LOGITS,), shape))
    for stack in stacks_of(model):
        rows.extend(_stack_rows(model, stack, feed_forward))
    return tuple(rows)


def _stack_rows(
    model: EncoderDecoder, stack: Stack, feed_forward: str
) -> Iterator[Row]:
    yield Row(
        f"{stack.name}/relative_position_bias",
        (model.relative_position_buckets, model.num_heads),
        (f"{stack.name}.block.0.layer.0.SelfAttention.relative_attention_bias.weight",),
    )
    for number, entry in enumerate(stack.entries):
        scope = f"{stack.name}/{entry.scope}"
        for index, residual in enumerate(entry.block):
            theirs = f"{stack.name}.block.{number}.layer.{index}"
            yield Row(
                f"{scope}/{residual.name}_norm/scale",
                (model.d_model,),
                (f"{theirs}.layer_norm.weight",),
            )
            place = _Place(model, f"{scope}/{residual.own_scope}", theirs, feed_forward)
            yield from _SUBLAYERS[type(residual.sublayer)](residual.sublayer, place)
    yield Row(
        f"{stack.name}/final_norm/scale",
        (model.d_model,),
        (f"{stack.name}.final_layer_norm.weight",),
    )


def _attention_rows(
    module: str, sublayer: SelfAttention | CrossAttention, place: _Place
) -> Iterator[Row]:
    d_model, attention = place.model.d_model, sublayer.attention
    heads, d_kv = attention.num_heads, attention.d_kv
    shapes = dict.fromkeys(
        ("q", "k", "v"), ((d_model, heads, d_kv), (d_model, heads * d_kv))
    )
    shapes["o"] = ((heads, d_kv, d_model), (heads * d_kv, d_model))
    for name, (shape, matrix) in shapes.items():
        theirs = f"{place.theirs}.{module}.{name}.weight"
        yield Row(f"{place.ours}/{name}", shape, (theirs,), matrix)


def _dense_rows(sublayer: DenseFeedForward, place: _Place) -> Iterator[Row]:
    theirs = f"{place.theirs}.{place.feed_forward}"
    return _network_rows(sublayer.network, place.model.d_model, place.ours, [theirs])


def _sparse_rows(sublayer: SparseFeedForward, place: _Place) -> Iterator[Row]:
    d_model, layer = place.model.d_model, sublayer.experts
    experts = layer.config.num_experts
    theirs = f"{place.theirs}.{place.feed_forward}"
    shape = (d_model, experts)
    router = f"{theirs}.router.classifier.weight"
    yield Row(f"{place.ours}/router", shape, (router,), shape)
    yield from _network_rows(
        layer.expert,
        d_model,
        f"{place.ours}/experts",
        [f"{theirs}.experts.expert_{expert}" for expert in range(experts)],
        leading=(experts,),
    )


def _network_rows(
    network: FeedForward,
    d_model: int,
    ours: str,
    theirs: list[str],
    leading: tuple[int, ...] = (),
) -> Iterator[Row]:
    """Rows of one network, or of one an expert; `leading` is [experts] then."""
    into, out_of = (d_model, network.d_ff), (network.d_ff, d_model)
    projections = [("wi", "wi", into), ("wo", "wo", out_of)]
    if network.num_input_projections == 2:
        # The activation is theirs of wi_0 and ours of wi_gate.
        projections[:1] = [("wi_gate", "wi_0", into), ("wi", "wi_1", into)]
    for name, module, matrix in projections:
        yield Row(
            f"{ours}/{name}",
            (*leading, *matrix),
            tuple(f"{prefix}.{module}.weight" for prefix in theirs),
            matrix,
        )


_SUBLAYERS: dict[type[Sublayer], Callable[[Any, _Place], Iterator[Row]]] = {
    SelfAttention: functools.partial(_attention_rows, "SelfAttention"),
    CrossAttention: functools.partial(_attention_rows, "EncDecAttention"),
    DenseFeedForward: _dense_rows,
    SparseFeedForward: _sparse_rows,
}
