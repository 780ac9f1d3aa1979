"""Scoring: what any model makes of whole sequences."""

from __future__ import annotations

import dataclasses

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.model.features import Tokens, shift_right
from mtmoe.model.parts import Model
from mtmoe.model.routing import LayerRouting
from mtmoe.model.sublayer import Memory


@dataclasses.dataclass(frozen=True)
class ModelOutput:
    """What a model returns.

    Attributes:
      logits: float32 [batch, length, vocab], one row per target position.
      encoder_routing: one entry per layer of experts of the encoder.
      decoder_routing: one entry per layer of experts of the decoder.
    """

    logits: mtf.Tensor
    encoder_routing: tuple[LayerRouting, ...] = ()
    decoder_routing: tuple[LayerRouting, ...] = ()

    @property
    def routing(self) -> tuple[LayerRouting, ...]:
        """Of all layers of experts, encoder first; empty for a dense model."""
        return self.encoder_routing + self.decoder_routing


def score(
    context: GraphContext, model: Model, inputs: Tokens | None, targets: Tokens
) -> ModelOutput:
    """Scores every target token.

    A decoder scores each target given the inputs, if there is an encoder, and the
    targets before it. An encoder alone scores each target given all inputs, the target
    of a place at that place. In packed rows each segment is scored as if it had a row
    of its own.

    Args:
      context: graph being built.
      model: the model.
      inputs: the encoder's tokens; None without an encoder.
      targets: the tokens to score, of any other length where there is a decoder; packed
        iff the inputs are.

    Raises:
      ValueError: there are inputs without an encoder, or none for one.
    """
    if (inputs is None) != (model.encoder is None):
        raise ValueError(
            "an encoder needs inputs"
            if inputs is None
            else "a decoder alone takes no inputs; begin the targets so"
        )
    memory: Memory | None = None
    encoder_routing: tuple[LayerRouting, ...] = ()
    if model.encoder is not None and inputs is not None:
        x = model.embedding(context, inputs)
        memory, encoder_routing = model.encoder.call(context, x, inputs)
    if model.decoder is None:
        assert memory is not None
        return ModelOutput(model.logits(context, memory.values), encoder_routing)
    # The decoder reads the targets one step late; 0 stands before the first.
    decoder = dataclasses.replace(
        targets, ids=shift_right(targets), prefix=_prefix_read(model, targets)
    )
    x = model.embedding(context, decoder)
    made, decoder_routing = model.decoder.call(context, x, decoder, memory)
    logits = model.logits(context, made.values)
    return ModelOutput(logits, encoder_routing, decoder_routing)


def _prefix_read(model: Model, targets: Tokens) -> mtf.Tensor | None:
    """Where the prefix is read: [batch, length], or None where there is none.

    A token is read one place after its own; what stands before a segment's first token
    is seen by the whole segment in any case.
    """
    assert model.decoder is not None
    if targets.prefix is None or not model.decoder.whole_prefix:
        return None
    return mtf.shift(targets.prefix, 1, targets.ids.shape.dims[1], wrap=False)
