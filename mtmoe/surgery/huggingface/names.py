"""The one table of names and transpositions, read from either side.

Their linear layers hold [outputs, inputs] and multiply from the right by the transpose;
our matrices are [inputs, outputs], with `heads` and `d_kv` as dimensions of their own
and all experts of a layer in one variable. Whether a tensor is transposed is a column
of the table and never told from its shape: square matrices have none to tell by.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, MutableMapping
from typing import Any

import numpy as np
import numpy.typing as npt

from mtmoe.errors import CheckpointError
from mtmoe.model.encoder_decoder import EncoderDecoder
from mtmoe.model.stack import Stack

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


def table(model: EncoderDecoder, feed_forward: str) -> tuple[Row, ...]:
    """Returns a row for every variable of `model`.

    Args:
      model: whose variables.
      feed_forward: their name of the module inside a feed-forward layer:
        `DenseReluDense` in T5 and mT5, `mlp` in Switch Transformers.
    """
    rows = [Row("embedding", (model.vocab_size, model.d_model), (EMBEDDING,))]
    if not model.tied_embeddings:
        shape = (model.d_model, model.vocab_size)
        rows.append(Row("logits", shape, (LOGITS,), shape))
    for stack in model.stacks:
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
    sublayers = [("self_attention", "SelfAttention")]
    if stack.name == "decoder":
        sublayers.append(("cross_attention", "EncDecAttention"))
    for layer in range(stack.num_layers):
        ours = f"{stack.name}/layer_{layer:03d}"
        theirs = f"{stack.name}.block.{layer}.layer"
        for number, (name, module) in enumerate(sublayers):
            yield _norm_row(model, f"{ours}/{name}_norm", f"{theirs}.{number}")
            yield from _attention_rows(
                model, f"{ours}/{name}", f"{theirs}.{number}.{module}"
            )
        last = f"{theirs}.{len(sublayers)}"
        yield _norm_row(model, f"{ours}/feed_forward_norm", last)
        if stack.is_sparse(layer):
            yield from _expert_rows(model, f"{ours}/moe", f"{last}.{feed_forward}")
        else:
            yield from _feed_forward_rows(
                model, f"{ours}/feed_forward", [f"{last}.{feed_forward}"]
            )
    yield Row(
        f"{stack.name}/final_norm/scale",
        (model.d_model,),
        (f"{stack.name}.final_layer_norm.weight",),
    )


def _norm_row(model: EncoderDecoder, ours: str, theirs: str) -> Row:
    return Row(f"{ours}/scale", (model.d_model,), (f"{theirs}.layer_norm.weight",))


def _attention_rows(model: EncoderDecoder, ours: str, theirs: str) -> Iterator[Row]:
    d_model, heads, d_kv = model.d_model, model.num_heads, model.d_kv
    for name in ("q", "k", "v"):
        yield Row(
            f"{ours}/{name}",
            (d_model, heads, d_kv),
            (f"{theirs}.{name}.weight",),
            (d_model, heads * d_kv),
        )
    yield Row(
        f"{ours}/o",
        (heads, d_kv, d_model),
        (f"{theirs}.o.weight",),
        (heads * d_kv, d_model),
    )


def _expert_rows(model: EncoderDecoder, ours: str, theirs: str) -> Iterator[Row]:
    assert model.moe is not None, "a sparse layer has experts"
    experts = model.moe.num_experts
    shape = (model.d_model, experts)
    yield Row(f"{ours}/router", shape, (f"{theirs}.router.classifier.weight",), shape)
    yield from _feed_forward_rows(
        model,
        f"{ours}/experts",
        [f"{theirs}.experts.expert_{expert}" for expert in range(experts)],
        leading=(experts,),
    )


def _feed_forward_rows(
    model: EncoderDecoder,
    ours: str,
    theirs: list[str],
    leading: tuple[int, ...] = (),
) -> Iterator[Row]:
    """Rows of one network, or of one an expert; `leading` is [experts] then."""
    into, out_of = (model.d_model, model.d_ff), (model.d_ff, model.d_model)
    projections = [("wi", "wi", into), ("wo", "wo", out_of)]
    if model.encoder.feed_forward.num_input_projections == 2:
        # The activation is theirs of wi_0 and ours of wi_gate.
        projections[:1] = [("wi_gate", "wi_0", into), ("wi", "wi_1", into)]
    for name, module, matrix in projections:
        yield Row(
            f"{ours}/{name}",
            (*leading, *matrix),
            tuple(f"{prefix}.{module}.weight" for prefix in theirs),
            matrix,
        )
