"""The batch as the model takes it."""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.mesh.program import Features


@dataclasses.dataclass(frozen=True)
class Tokens:
    """One feature of a batch on the mesh.

    Attributes:
      ids: int32 [batch, length].
      nonpadding: float32 [batch, length], 1 for tokens and 0 for padding.
      segments: int32 [batch, length], the number from 1 of the example a token of a
        packed row belongs to, 0 at padding; tokens of one example stand side by side.
        None where a row is one example: then the masks are smaller.
      languages: float32 [batch, length, languages], 1 at a token's language; all 0 at
        padding and where no language is known. None where nobody asks.
    """

    ids: mtf.Tensor
    nonpadding: mtf.Tensor
    segments: mtf.Tensor | None = None
    languages: mtf.Tensor | None = None


def import_features(context: GraphContext, features: Features) -> tuple[Tokens, Tokens]:
    """Lays out one example a row, padded with id 0.

    Args:
      context: graph being built.
      features: holds `inputs` and `targets`, int32 [batch, length] each.
    """
    inputs, targets = (_ids(context, features[name]) for name in ("inputs", "targets"))
    return Tokens(inputs, _is_used(inputs)), Tokens(targets, _is_used(targets))


def import_segmented_features(
    context: GraphContext, features: Features, packed: bool, num_languages: int
) -> tuple[Tokens, Tokens]:
    """Lays out rows whose padding is where the segment is 0, whatever the ids are.

    Args:
      context: graph being built.
      features: holds `inputs`, `inputs_segments`, `inputs_language` and the same of
        `targets`, int32 [batch, length] each; the language is -1 where there is none.
      packed: whether a row may hold several segments.
      num_languages: number of languages; 0 to leave them out.
    """

    def tokens(name: str) -> Tokens:
        ids = _ids(context, features[name])
        segments = _ids(context, features[f"{name}_segments"])
        languages = None
        if num_languages:
            languages = mtf.one_hot(
                _ids(context, features[f"{name}_language"]),
                mtf.Dimension("languages", num_languages),
                dtype=tf.float32,
            )
        return Tokens(ids, _is_used(segments), segments if packed else None, languages)

    return tokens("inputs"), tokens("targets")


def shift_right(tokens: Tokens) -> mtf.Tensor:
    """Returns what the decoder reads: each segment one place later, 0 at its first.

    Args:
      tokens: the targets.

    Returns:
      int32 [batch, length].
    """
    length = tokens.ids.shape.dims[1]
    shifted = mtf.shift(tokens.ids, 1, length, wrap=False)
    if tokens.segments is None:
        return shifted
    before = mtf.shift(tokens.segments, 1, length, wrap=False)
    return shifted * mtf.cast(mtf.equal(before, tokens.segments), tf.int32)


def _ids(context: GraphContext, array: tf.Tensor) -> mtf.Tensor:
    batch, length = array.shape
    dims = [mtf.Dimension("batch", batch), mtf.Dimension("length", length)]
    return context.import_tensor(array, mtf.Shape(dims))


def _is_used(numbers: mtf.Tensor) -> mtf.Tensor:
    return mtf.cast(mtf.not_equal(numbers, 0), tf.float32)
