"""A decoder alone: language model and prefix language model."""

from __future__ import annotations

import dataclasses

import gin
import tensorflow as tf

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.model.features import Tokens, shift_right
from mtmoe.model.stack import Stack
from mtmoe.model.stack_state import StackState
from mtmoe.model.transformer import ModelOutput, Transformer
from mtmoe.ranges import Count


@dataclasses.dataclass(frozen=True)
class PromptState(StackState):
    """What a decoder knows after a prompt.

    Attributes:
      last_ids: int32 [batch, length=1], the prompt's last token, which the first step
        reads; 0 where there is no prompt.
    """

    last_ids: mtf.Tensor | None = None


@gin.configurable
@dataclasses.dataclass(frozen=True, kw_only=True)
class DecoderOnly(Transformer):
    """GPT (Radford et al. 2018), GLaM (Du et al. 2022): each token given those before.

    Attributes:
      num_layers: number of layers.
      bidirectional_prefix: whether all tokens of a prefix (`Tokens.prefix`), and all of
        a prompt, see each other; if not they are read as all others are. Tokens of such
        a prefix are seen before they are scored, so their `loss_weights` must be 0.
    """

    num_layers: Count
    bidirectional_prefix: bool = True

    @property
    def stacks(self) -> tuple[Stack, ...]:
        """The decoder."""
        return (self.decoder,)

    @property
    def decoder(self) -> Stack:
        """The decoder's stack."""
        return self.stack("decoder", self.num_layers, bidirectional=False)

    @property
    def takes_inputs(self) -> bool:
        """There is no encoder to read them."""
        return False

    def __call__(
        self, context: GraphContext, inputs: Tokens | None, targets: Tokens
    ) -> ModelOutput:
        """Scores each token given those before it, and its segment's prefix.

        In packed rows each segment is scored as if it had a row of its own.

        Args:
          context: graph being built.
          inputs: None.
          targets: the tokens to score.

        Raises:
          ValueError: there are inputs, which nothing would read.
        """
        if inputs is not None:
            raise ValueError("a decoder alone takes no inputs; begin the targets so")
        prefix = None
        if targets.prefix is not None and self.bidirectional_prefix:
            # A token is read one place after its own; what stands before a segment's
            # first token is seen by the whole segment in any case.
            length = targets.ids.shape.dims[1]
            prefix = mtf.shift(targets.prefix, 1, length, wrap=False)
        decoder = dataclasses.replace(targets, ids=shift_right(targets), prefix=prefix)
        x = self.embedding.embed(context, decoder.ids)
        x, routing = self.decoder(context, x, decoder)
        return ModelOutput(self.embedding.logits(context, x), routing)

    def start_decoding(
        self, context: GraphContext, inputs: Tokens, max_length: int
    ) -> PromptState:
        """Reads a prompt in one pass and returns the state before the first step.

        Args:
          context: graph being built.
          inputs: one prompt a row, with padding before or after it. Prompts are moved
            to the end of their rows, so that all rows are at the same place from there.
          max_length: most tokens to decode after the prompt.
        """
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
            mtf.shift(ids, 1, longer, wrap=False),
            nonpadding,
            prefix=nonpadding if self.bidirectional_prefix else None,
        )
        x = self.embedding.embed(context, prompt.ids)
        state = self.decoder.start_after(context, x, prompt, max_length - 1)
        return PromptState(
            state.caches, state.visible, num_before=length.size, last_ids=last
        )

    def decode_step(
        self,
        context: GraphContext,
        decoder: Tokens,
        state: StackState,
        position: mtf.Tensor,
    ) -> tuple[mtf.Tensor, StackState]:
        """Scores one token more; see `Transformer.decode_step`."""
        assert isinstance(state, PromptState)
        ids = mtf.slicewise(
            lambda ids, last, position: tf.where(tf.equal(position, 0), last, ids),
            [decoder.ids, state.last_ids, position],
            splittable_dims=decoder.ids.shape.dims,
            grad_function=0,
            name="prompt_before_first",
        )
        decoder = dataclasses.replace(decoder, ids=ids)
        return super().decode_step(context, decoder, state, position)


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
