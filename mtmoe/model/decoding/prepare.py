"""What every way to decode begins with: the model made ready, and the examples.

Shape suffixes: B batch, L inputs length, V vocab.
"""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.mesh.features import Features
from mtmoe.model.decoding.steps import DecodingState, decode_step, start_decoding
from mtmoe.model.decoding.strategies import IMPOSSIBLE
from mtmoe.model.features import Tokens, import_padded
from mtmoe.model.moe.mixture import MixtureOfExperts
from mtmoe.model.parts import Model, Parts, with_experts


def without_drops(model: Model) -> Parts:
    """Returns `model` with room for every token in every expert outside training.

    Each example is a group of its own, so that no layout cuts through one.
    """

    def roomy(moe: MixtureOfExperts) -> MixtureOfExperts:
        capacity = dataclasses.replace(moe.capacity, evaluation_factor=None)
        return dataclasses.replace(moe, capacity=capacity, group_size=1)

    return with_experts(model, roomy)


@dataclasses.dataclass(frozen=True)
class Decoding:
    """A batch about to be decoded.

    Attributes:
      model: the model, ready for it.
      state: what its decoder knows before the first step.
      first_token: int32 [batch, length=1], what the decoder reads first.
      example_keys: int32 [batch], the key of each example's noise; negative for rows
        that only fill the batch up and get no tokens.
      max_length: most tokens of a sequence, its end mark included.
      eos_id: token that ends a sequence.
    """

    model: Model
    state: DecodingState
    first_token: mtf.Tensor
    example_keys: mtf.Tensor
    max_length: int
    eos_id: int

    @property
    def batch(self) -> mtf.Dimension:
        """The examples."""
        return self.example_keys.shape.dims[0]

    @property
    def length(self) -> mtf.Dimension:
        """The places of a sequence."""
        return mtf.Dimension("length", self.max_length)

    @property
    def is_filler(self) -> mtf.Tensor:
        """float32 [batch], 1 for rows that only fill the batch up."""
        return mtf.cast(mtf.less(self.example_keys, 0), tf.float32)


def start(
    context: GraphContext,
    model: Model,
    features: Features,
    max_length: int,
    eos_id: int,
) -> Decoding:
    """Reads the inputs, and makes what the loop finds before its first step.

    Args:
      context: graph being built.
      model: the model.
      features: `inputs`, int32 [B, L], padded with 0 at the end, and `example_keys`,
        int32 [B].
      max_length: most tokens of a sequence.
      eos_id: token that ends a sequence.
    """
    inputs = import_padded(context, features["inputs"])
    rows = inputs.ids.shape.dims[0]
    model = without_drops(model)
    return Decoding(
        model=model,
        state=start_decoding(context, model, inputs, max_length),
        first_token=mtf.zeros(
            context.mesh, mtf.Shape([rows, mtf.Dimension("length", 1)]), tf.int32
        ),
        example_keys=context.import_tensor(features["example_keys"], mtf.Shape([rows])),
        max_length=max_length,
        eos_id=eos_id,
    )


def next_logits(
    context: GraphContext,
    model: Model,
    token: mtf.Tensor,
    running: mtf.Tensor,
    state: DecodingState,
    position: mtf.Tensor,
) -> tuple[mtf.Tensor, DecodingState]:
    """Runs one step of the decoder.

    Args:
      context: graph being built.
      model: the model.
      token: int32 [batch, length=1], what it reads.
      running: float32 [batch], 0 for rows that have ended: no expert looks at them.
      state: what the places before left.
      position: int32 scalar, number of the place from 0.

    Returns:
      Logits float32 [batch, vocab_unsplit], whole on every device, and the state after.
    """
    tokens = Tokens(token, mtf.reshape(running, token.shape))
    logits, state = decode_step(context, model, tokens, state, position)
    batch, _, vocab = logits.shape.dims
    whole = mtf.Dimension("vocab_unsplit", vocab.size)
    return mtf.reshape(logits, mtf.Shape([batch, whole])), state


def forbid_padding(logits_BV: tf.Tensor) -> tf.Tensor:
    """Makes token 0, which is padding, `IMPOSSIBLE`."""
    is_padding_V = tf.range(logits_BV.shape[-1]) == 0
    return tf.where(is_padding_V, IMPOSSIBLE, logits_BV)
