"""Beam search: several sequences an example, the best of them in the end.

The beams of an example lie side by side in the one batch dimension of the decoder. At
every step each is continued by every token; of all continuations the best that do not
end live on, and the best that do are kept aside. An example is done when no living
sequence can still beat the worst of those kept: log-likelihoods only fall, and the
length penalty is largest at the longest sequence (Wu et al. 2016, section 7).

Shape suffixes: B batch, K beams, N = B * K rows, C candidates, V vocab, T sequence
length.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import tensorflow as tf

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.mesh.structure import replace_all
from mtmoe.model.decoding.prepare import Decoding, forbid_padding, next_logits
from mtmoe.model.decoding.strategies import IMPOSSIBLE, BeamSearch


@dataclasses.dataclass(frozen=True)
class Beams:
    """The sequences of a batch; tensors of one slice of it.

    Attributes:
      running: float32 [B], 0 for examples that are done.
      live_scores: float32 [B, K], log-likelihoods of unfinished sequences.
      live_tokens: int32 [B, K, T].
      ended_scores: float32 [B, K], log-likelihoods of ended sequences divided by their
        length penalty; `IMPOSSIBLE` where there is none yet.
      ended_tokens: int32 [B, K, T].
    """

    running: tf.Tensor
    live_scores: tf.Tensor
    live_tokens: tf.Tensor
    ended_scores: tf.Tensor
    ended_tokens: tf.Tensor

    def tensors(self) -> list[tf.Tensor]:
        """The fields in order."""
        return [getattr(self, field.name) for field in dataclasses.fields(self)]


def length_penalty(length: tf.Tensor | int, exponent: float) -> tf.Tensor:
    """Returns ((5 + length) / 6)^exponent; Wu et al. 2016, equation 14."""
    return ((5.0 + tf.cast(length, tf.float32)) / 6.0) ** exponent


def beam_search(
    context: GraphContext, decoding: Decoding, strategy: BeamSearch
) -> tuple[mtf.Tensor, mtf.Tensor]:
    """Searches the best sequence of each example.

    A sequence that is cut off at the maximal length is the answer only where none has
    ended.

    Args:
      context: graph being built.
      decoding: the batch.
      strategy: beams and length penalty.

    Returns:
      Tokens, int32 [batch, length], and their scores, float32 [batch].
    """
    beams = mtf.Dimension("beams", strategy.num_beams)
    rows = mtf.Dimension("batch", decoding.batch.size * beams.size)
    shapes = _shapes(decoding, beams)

    def on_slices(
        function: Callable[..., list[tf.Tensor]],
        inputs: Sequence[mtf.Tensor],
        outputs: Sequence[tuple[mtf.Shape, tf.DType]],
    ) -> Sequence[mtf.Tensor]:
        return mtf.slicewise(
            lambda *slices: tuple(function(*slices)),
            list(inputs),
            output_shape=[shape for shape, _ in outputs],
            output_dtype=[dtype for _, dtype in outputs],
            splittable_dims=[rows],
            grad_function=0,
            name="beam_search",
        )

    def step(
        position: mtf.Tensor, token: mtf.Tensor, *tensors: mtf.Tensor
    ) -> Sequence[mtf.Tensor]:
        sequences = tensors[: len(shapes)]
        running = _repeated(sequences[0], decoding.batch, beams.size)
        logits, state = next_logits(
            context,
            decoding.model,
            token,
            running,
            state_0.with_tensors(tensors[len(shapes) :]),
            position,
        )

        def extend(
            logits_NV: tf.Tensor, place: tf.Tensor, *fields: tf.Tensor
        ) -> list[tf.Tensor]:
            new, parent_BK, token_BK = extend_beams(
                Beams(*fields), logits_NV, place, decoding.eos_id, strategy
            )
            parents_N = tf.reshape(_rows_of(parent_BK), [-1])
            return [parents_N, tf.reshape(token_BK, [-1]), *new.tensors()]

        flat = (mtf.Shape([rows]), tf.int32)
        parents, chosen, *new = on_slices(
            extend, [logits, position, *sequences], [flat, flat, *shapes]
        )
        caches = [_taken(x, rows, parents) for x in state.tensors()]
        return [position + 1, mtf.reshape(chosen, token.shape), *new, *caches]

    def goes_on(
        position: mtf.Tensor, token: mtf.Tensor, running: mtf.Tensor, *_: mtf.Tensor
    ) -> mtf.Tensor:
        del token
        is_running = mtf.greater(mtf.reduce_max(running), 0.0)
        return mtf.logical_and(mtf.less(position, decoding.max_length), is_running)

    def begin(is_filler_B: tf.Tensor) -> list[tf.Tensor]:
        return no_beams(
            1.0 - is_filler_B, strategy.num_beams, decoding.max_length
        ).tensors()

    state_0 = replace_all(
        decoding.state,
        mtf.Tensor,
        lambda x: _repeated(x, decoding.batch, beams.size),
    )
    _, _, *final = mtf.while_loop(
        goes_on,
        step,
        [
            mtf.zeros(context.mesh, mtf.Shape([]), tf.int32),
            _repeated(decoding.first_token, decoding.batch, beams.size),
            *on_slices(begin, [decoding.is_filler], shapes),
            *state_0.tensors(),
        ],
    )

    def finish(is_filler_B: tf.Tensor, *fields: tf.Tensor) -> list[tf.Tensor]:
        tokens_BT, scores_B = best_sequences(Beams(*fields), strategy)
        kept_B = 1.0 - is_filler_B
        return [
            tokens_BT * tf.cast(kept_B, tf.int32)[:, tf.newaxis],
            scores_B * kept_B,
        ]

    best = mtf.Shape([decoding.batch])
    tokens, scores = on_slices(
        finish,
        [decoding.is_filler, *final[: len(shapes)]],
        [(best + decoding.length, tf.int32), (best, tf.float32)],
    )
    return tokens, scores


def no_beams(running_B: tf.Tensor, num_beams: int, max_length: int) -> Beams:
    """Returns the beams before the first step: one of them, which is empty.

    Args:
      running_B: float32, 0 for examples that are not to be searched.
      num_beams: K.
      max_length: T.
    """
    batch = running_B.shape[0]
    nothing_BKT = tf.zeros([batch, num_beams, max_length], tf.int32)
    impossible_BK = tf.fill([batch, num_beams], IMPOSSIBLE)
    is_first_K = tf.range(num_beams) == 0
    return Beams(
        running=running_B,
        live_scores=tf.where(is_first_K, 0.0, impossible_BK),
        live_tokens=nothing_BKT,
        ended_scores=impossible_BK,
        ended_tokens=nothing_BKT,
    )


def extend_beams(
    beams: Beams,
    logits_NV: tf.Tensor,
    position: tf.Tensor,
    eos_id: int,
    strategy: BeamSearch,
) -> tuple[Beams, tf.Tensor, tf.Tensor]:
    """Continues every sequence by one token.

    Args:
      beams: the sequences so far.
      logits_NV: float32 [B * K, V].
      position: int32 scalar, tokens the living sequences have.
      eos_id: token that ends a sequence.
      strategy: beams and length penalty.

    Returns:
      The new sequences; and, of the new living ones, the beam each continues and its
      last token, int32 [B, K].
    """
    num_beams, max_length = beams.live_tokens.shape[1:]
    vocab_size = logits_NV.shape[-1]
    log_p_NV = forbid_padding(tf.nn.log_softmax(logits_NV))
    all_scores = beams.live_scores[:, :, tf.newaxis] + tf.reshape(
        log_p_NV, [-1, num_beams, vocab_size]
    )
    # Each beam ends in one way: of twice as many candidates enough go on.
    scores_BC, index_BC = tf.math.top_k(
        tf.reshape(all_scores, [-1, num_beams * vocab_size]),
        min(2, vocab_size) * num_beams,
    )
    parent_BC, token_BC = index_BC // vocab_size, index_BC % vocab_size
    is_here_T = tf.range(max_length) == position
    tokens_BCT = tf.where(
        is_here_T,
        token_BC[:, :, tf.newaxis],
        tf.gather(beams.live_tokens, parent_BC, batch_dims=1),
    )
    is_end_BC = token_BC == eos_id
    ended_scores, ended_tokens = _end(
        beams, scores_BC, tokens_BCT, is_end_BC, position + 1, strategy
    )
    live_scores, chosen_BK = tf.math.top_k(
        tf.where(is_end_BC, IMPOSSIBLE, scores_BC), num_beams
    )
    # What a living sequence can reach at best: no further loss, the largest penalty.
    bound_B = live_scores[:, 0] / length_penalty(max_length, strategy.length_penalty)
    can_win_B = tf.cast(bound_B > tf.reduce_min(ended_scores, -1), tf.float32)
    new = Beams(
        beams.running * can_win_B,
        live_scores,
        tf.gather(tokens_BCT, chosen_BK, batch_dims=1),
        ended_scores,
        ended_tokens,
    )
    return (
        new,
        tf.gather(parent_BC, chosen_BK, batch_dims=1),
        tf.gather(token_BC, chosen_BK, batch_dims=1),
    )


def best_sequences(beams: Beams, strategy: BeamSearch) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the best sequence of each example [B, T], and its score [B]."""
    max_length = beams.live_tokens.shape[-1]
    cut_off_B = beams.live_scores[:, 0] / length_penalty(
        max_length, strategy.length_penalty
    )
    has_ended_B = beams.ended_scores[:, 0] > IMPOSSIBLE / 2
    return (
        tf.where(
            has_ended_B[:, tf.newaxis],
            beams.ended_tokens[:, 0],
            beams.live_tokens[:, 0],
        ),
        tf.where(has_ended_B, beams.ended_scores[:, 0], cut_off_B),
    )


def _end(
    beams: Beams,
    scores_BC: tf.Tensor,
    tokens_BCT: tf.Tensor,
    is_end_BC: tf.Tensor,
    length: tf.Tensor,
    strategy: BeamSearch,
) -> tuple[tf.Tensor, tf.Tensor]:
    """The best ended sequences, those that end here among them."""
    may_end_BC = is_end_BC & (beams.running > 0)[:, tf.newaxis]
    ending_BC = tf.where(
        may_end_BC,
        scores_BC / length_penalty(length, strategy.length_penalty),
        IMPOSSIBLE,
    )
    scores, chosen_BK = tf.math.top_k(
        tf.concat([beams.ended_scores, ending_BC], axis=1), strategy.num_beams
    )
    tokens = tf.concat([beams.ended_tokens, tokens_BCT], axis=1)
    return scores, tf.gather(tokens, chosen_BK, batch_dims=1)


def _shapes(
    decoding: Decoding, beams: mtf.Dimension
) -> list[tuple[mtf.Shape, tf.DType]]:
    """Shapes and dtypes of the fields of `Beams`."""
    examples = mtf.Shape([decoding.batch])
    scores, tokens = examples + beams, examples + beams + decoding.length
    return [
        (examples, tf.float32),
        (scores, tf.float32),
        (tokens, tf.int32),
        (scores, tf.float32),
        (tokens, tf.int32),
    ]


def _rows_of(beam_BK: tf.Tensor) -> tf.Tensor:
    """Numbers of beams within an example to numbers of rows within the slice."""
    batch, num_beams = beam_BK.shape
    return beam_BK + tf.range(batch)[:, tf.newaxis] * num_beams


def _taken(x: mtf.Tensor, rows: mtf.Dimension, parents: mtf.Tensor) -> mtf.Tensor:
    """Puts the rows of their parents into the beams' rows."""
    axis = x.shape.dims.index(rows)
    return mtf.slicewise(
        lambda x, parents: tf.gather(x, parents, axis=axis),
        [x, parents],
        output_shape=x.shape,
        output_dtype=x.dtype,
        splittable_dims=x.shape.dims,
        grad_function=0,
        name="take_beams",
    )


def _repeated(x: mtf.Tensor, batch: mtf.Dimension, times: int) -> mtf.Tensor:
    """Gives each example several rows side by side; `x` itself without a batch."""
    if batch not in x.shape.dims:
        return x
    axis = x.shape.dims.index(batch)
    rows = mtf.Dimension(batch.name, batch.size * times)
    return mtf.slicewise(
        lambda x: tf.repeat(x, times, axis=axis),
        [x],
        output_shape=mtf.replace_dimensions(x.shape, batch, rows),
        output_dtype=x.dtype,
        splittable_dims=x.shape.dims,
        grad_function=0,
        name="repeat_for_beams",
    )
