"""The batch as the model takes it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import tensorflow as tf

from mtmoe.mesh.build import Features
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.mesh.feature_import import Feature
from mtmoe.mesh.update import take_at


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
      prefix: float32 [batch, length], 1 on tokens that all tokens of their segment may
        see, 0 on those that only later ones may. None where there are none of the first
        kind.
      loss_weights: float32 [batch, length], the weight of a token's cross-entropy, 0
        where it is not scored. None where that is `nonpadding`.
    """

    ids: mtf.Tensor
    nonpadding: mtf.Tensor
    segments: mtf.Tensor | None = None
    languages: mtf.Tensor | None = None
    prefix: mtf.Tensor | None = None
    loss_weights: mtf.Tensor | None = None

    @property
    def scored(self) -> mtf.Tensor:
        """The weight of each token's cross-entropy, float32 [batch, length]."""
        return self.nonpadding if self.loss_weights is None else self.loss_weights


def import_features(context: GraphContext, features: Features) -> tuple[Tokens, Tokens]:
    """Lays out one example a row, padded with id 0 at its end.

    Args:
      context: graph being built.
      features: holds `inputs` and `targets`, int32 [batch, length] each.
    """
    inputs, targets = (
        import_padded(context, features[name]) for name in ("inputs", "targets")
    )
    return inputs, targets


def import_padded(context: GraphContext, ids: Feature) -> Tokens:
    """Lays out one feature, one example a row.

    Args:
      context: graph being built.
      ids: int32 [batch, length], see `before_padding`.
    """
    laid_out = _import(context, ids)
    return Tokens(laid_out, before_padding(laid_out))


def before_padding(ids: mtf.Tensor) -> mtf.Tensor:
    """Returns which ids are tokens: all up to a row's last one that is not 0.

    Token 0 before another is a token like any other, as it is in training.

    Args:
      ids: int32 [batch, length], padded with 0 at the end.

    Returns:
      float32 [batch, length], 1 for tokens and 0 for padding.
    """
    batch, length = ids.shape.dims
    places = mtf.range(ids.mesh, length, tf.int32) + 1
    is_set = mtf.cast(mtf.not_equal(ids, 0), tf.int32)
    last = mtf.reduce_max(is_set * places, output_shape=mtf.Shape([batch]))
    return mtf.cast(mtf.less_equal(places, last, output_shape=ids.shape), tf.float32)


def import_segmented_features(
    context: GraphContext, features: Features, packed: bool, num_languages: int
) -> tuple[Tokens | None, Tokens]:
    """Lays out rows whose padding is where the segment is 0, whatever the ids are.

    Args:
      context: graph being built.
      features: see `segmented_tokens`, [batch, length] each.
      packed: whether a row may hold several segments.
      num_languages: number of languages; 0 to leave them out.
    """
    arrays = import_arrays(context, features)
    return segmented_tokens(arrays, packed, num_languages)


def import_arrays(
    context: GraphContext,
    features: Features,
    microbatches: int = 1,
    outer_parts: int = 1,
) -> dict[str, mtf.Tensor]:
    """Lays out arrays [batch, length] on the mesh, under their own names.

    Args:
      context: graph being built.
      features: arrays of any dtype.
      microbatches: parts that the rows are cut into, in order. With more than one the
        results are [microbatch, batch, length], and only the rows of a part are split
        over the mesh.
      outer_parts: parts that the rows are cut into before that. With more than one the
        results have the dimension `outer_batch` in front.
    """
    parts = {"outer_batch": outer_parts, "microbatch": microbatches}
    outer = [mtf.Dimension(name, count) for name, count in parts.items() if count > 1]
    return {name: _import(context, array, outer) for name, array in features.items()}


def take_microbatch(
    arrays: Mapping[str, mtf.Tensor], number: mtf.Tensor
) -> dict[str, mtf.Tensor]:
    """Returns one of the parts that `import_arrays` made, [batch, length] each.

    Args:
      arrays: [microbatch, batch, length] each.
      number: int32 scalar, the part's number from 0.
    """
    taken = {}
    for name, array in arrays.items():
        microbatch, *dims = array.shape.dims
        taken[name] = mtf.reshape(
            take_at(array, microbatch, number), mtf.Shape(dims), name=f"take_{name}"
        )
    return taken


def segmented_tokens(
    arrays: Mapping[str, mtf.Tensor], packed: bool, num_languages: int
) -> tuple[Tokens | None, Tokens]:
    """Makes tokens of rows whose padding is where the segment is 0.

    Args:
      arrays: `inputs`, `inputs_segments`, `inputs_language` and the same of `targets`,
        int32 [..., batch, length] each; the language is -1 where there is none. For a
        decoder alone nothing of the inputs, but `targets_prefix`, int32, and
        `targets_loss_weights`, float32.
      packed: whether a row may hold several segments.
      num_languages: number of languages; 0 to leave them out.

    Returns:
      Inputs, None for a decoder alone, and targets.
    """

    def tokens(name: str) -> Tokens:
        segments = arrays[f"{name}_segments"]
        prefix = arrays.get(f"{name}_prefix")
        languages = None
        if num_languages:
            languages = mtf.one_hot(
                arrays[f"{name}_language"],
                mtf.Dimension("languages", num_languages),
                dtype=tf.float32,
            )
        return Tokens(
            arrays[name],
            _is_used(segments),
            segments if packed else None,
            languages,
            prefix=None if prefix is None else _is_used(prefix),
            loss_weights=arrays.get(f"{name}_loss_weights"),
        )

    return tokens("inputs") if "inputs" in arrays else None, tokens("targets")


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


def _import(
    context: GraphContext, array: Feature, outer: Sequence[mtf.Dimension] = ()
) -> mtf.Tensor:
    batch, length = array.shape
    shape = mtf.Shape(
        [
            *outer,
            mtf.Dimension("batch", batch // math.prod(dim.size for dim in outer)),
            mtf.Dimension("length", length),
        ]
    )
    return context.import_tensor(array, shape)


def _is_used(numbers: mtf.Tensor) -> mtf.Tensor:
    return mtf.cast(mtf.not_equal(numbers, 0), tf.float32)
