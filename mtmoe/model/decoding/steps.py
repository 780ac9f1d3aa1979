"""A decoder one place at a time: begin with the inputs, then token after token."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import tensorflow as tf

from mtmoe.errors import ConfigError
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.model.features import Tokens
from mtmoe.model.parts import Model
from mtmoe.model.stack import Stack
from mtmoe.model.stack_state import StackState


@dataclasses.dataclass(frozen=True)
class DecodingState:
    """What a model knows before a step.

    Attributes:
      stack: what its decoder knows.
      prompt_end: int32 [batch, length=1], the prompt's last token, which the first step
        reads in place of its own; 0 where there is no prompt. None where inputs are no
        prompt.
    """

    stack: StackState
    prompt_end: mtf.Tensor | None = None

    def tensors(self) -> list[mtf.Tensor]:
        """Returns what changes from step to step, as the state of a loop."""
        return self.stack.tensors()

    def with_tensors(self, tensors: Sequence[mtf.Tensor]) -> DecodingState:
        """Returns this state with other values of `tensors()`."""
        return dataclasses.replace(self, stack=self.stack.with_tensors(tensors))


def start_decoding(
    context: GraphContext, model: Model, inputs: Tokens, max_length: int
) -> DecodingState:
    """Reads what is given and returns the state before the first step.

    An encoder encodes it; a decoder alone reads it as a prompt, in one pass.

    Args:
      context: graph being built.
      model: the model.
      inputs: what is given, one example a row, with padding before or after it. Prompts
        are moved to the end of their rows, so that all rows are at the same place from
        there.
      max_length: most tokens to decode.

    Raises:
      ConfigError: the model has no decoder.
    """
    decoder = _decoder(model)
    if model.encoder is None:
        return _read_prompt(context, model, inputs, max_length)
    x = model.embedding(context, inputs)
    memory, _ = model.encoder.call(context, x, inputs)
    return DecodingState(decoder.start(context, memory, max_length))


def decode_step(
    context: GraphContext,
    model: Model,
    tokens: Tokens,
    state: DecodingState,
    position: mtf.Tensor,
) -> tuple[mtf.Tensor, DecodingState]:
    """Scores one token more; see `Stack.step`.

    Args:
      context: graph being built.
      model: the model.
      tokens: [batch, length=1], the token decoded last, 0 at the first step.
      state: what was left by `start_decoding` or the step before.
      position: int32 scalar, number of the step from 0.

    Returns:
      float32 logits [batch, length=1, vocab], and the state after this step.
    """
    if state.prompt_end is not None:
        ids = mtf.slicewise(
            lambda ids, last, position: tf.where(tf.equal(position, 0), last, ids),
            [tokens.ids, state.prompt_end, position],
            splittable_dims=tokens.ids.shape.dims,
            grad_function=0,
            name="prompt_before_first",
        )
        tokens = dataclasses.replace(tokens, ids=ids)
    x = model.embedding(context, tokens)
    x, stack = _decoder(model).step(context, x, tokens, state.stack, position)
    return model.logits(context, x), dataclasses.replace(state, stack=stack)


def _decoder(model: Model) -> Stack:
    if model.decoder is None:
        raise ConfigError(f"{type(model).__name__} has no decoder: it cannot generate")
    return model.decoder


def _read_prompt(
    context: GraphContext, model: Model, inputs: Tokens, max_length: int
) -> DecodingState:
    decoder = _decoder(model)
    batch, length = inputs.ids.shape.dims
    inputs = _padded_before(inputs)
    last = mtf.slice(inputs.ids, length.size - 1, 1, "length")
    # One place more: 0, then the prompt. The first step reads the last place again,
    # to the same result, since a prefix may be seen whole only when it is.
    ids = mtf.pad(inputs.ids, [0, 1], "length")
    longer = ids.shape.dims[1]
    one = mtf.ones(
        context.mesh, mtf.Shape([batch, mtf.Dimension("length", 1)]), tf.float32
    )
    nonpadding = mtf.concat([inputs.nonpadding, one], "length")
    prompt = Tokens(
        mtf.shift(ids, 1, longer, wrap=False), nonpadding, prefix=nonpadding
    )
    x = model.embedding(context, prompt)
    state = decoder.start_after(context, x, prompt, length.size, max_length - 1)
    return DecodingState(state, prompt_end=last)


def _padded_before(tokens: Tokens) -> Tokens:
    """Moves the tokens of each row to its end, in their order."""

    def moved(ids: tf.Tensor, nonpadding: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        order = tf.argsort(nonpadding, axis=1, stable=True)
        return (
            tf.gather(ids, order, axis=1, batch_dims=1),
            tf.gather(nonpadding, order, axis=1, batch_dims=1),
        )

    ids, nonpadding = mtf.slicewise(
        moved,
        [tokens.ids, tokens.nonpadding],
        output_shape=[tokens.ids.shape, tokens.ids.shape],
        output_dtype=[tf.int32, tf.float32],
        splittable_dims=tokens.ids.shape.dims[:1],
        grad_function=0,
        name="padded_before",
    )
    return Tokens(ids, nonpadding)
