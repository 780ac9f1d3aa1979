"""Each token's place in its row or segment.

Shape suffixes: B batch, L length.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from mtmoe.mesh.compat import mtf
from mtmoe.model.features import Tokens


def token_places(tokens: Tokens) -> mtf.Tensor:
    """Counts each token's place from the first of its row or, if packed, its segment.

    Padding before the first token of a row is not counted.

    Returns:
      int32 [batch, length].
    """
    if tokens.segments is None:
        return _count_places(_places_in_row, tokens.nonpadding)
    return _count_places(_places_in_segment, tokens.segments)


def place_after(visible: mtf.Tensor) -> mtf.Tensor:
    """Returns the place of the last of a row's visible tokens.

    Args:
      visible: float32 [batch, memory_length], 1 at places that hold a token.

    Returns:
      int32 [batch, length=1].
    """
    batch, places = visible.shape.dims
    count = mtf.reduce_sum(visible, reduced_dim=places)
    place = mtf.cast(mtf.relu(count - 1.0), tf.int32)
    return mtf.reshape(place, [batch, mtf.Dimension("length", 1)])


def _count_places(
    places: Callable[[tf.Tensor], tf.Tensor], numbers: mtf.Tensor
) -> mtf.Tensor:
    batch, length = numbers.shape.dims
    # Places are counted along whole rows, whatever the layout does to their length.
    whole = mtf.rename_dimension(numbers, "length", "length_unsplit")
    counted = mtf.slicewise(
        places,
        [whole],
        output_dtype=tf.int32,
        splittable_dims=[batch],
        grad_function=0,
        name="token_places",
    )
    return mtf.reshape(counted, mtf.Shape([batch, length]))


def _places_in_row(nonpadding_BL: tf.Tensor) -> tf.Tensor:
    count = tf.cast(tf.cumsum(nonpadding_BL, axis=1), tf.int32)
    return tf.maximum(count - 1, 0)


def _places_in_segment(segments_BL: tf.Tensor) -> tf.Tensor:
    length = segments_BL.shape[1]
    index = tf.range(length)
    before = _later(segments_BL, 1)
    begin = tf.where(tf.equal(segments_BL, before), 0, index)
    distance = 1
    while distance < length:  # the largest so far, by doubling
        begin = tf.maximum(begin, _later(begin, distance))
        distance *= 2
    return index - begin


def _later(x_BL: tf.Tensor, places: int) -> tf.Tensor:
    """Each element `places` places later, 0 before the first."""
    return tf.pad(x_BL[:, :-places], [[0, 0], [places, 0]])
