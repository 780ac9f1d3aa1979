"""Looking rows up in a table and scoring labels, without one-hot tensors.

Mesh TensorFlow's own `mtf.gather` multiplies by a one-hot matrix, which costs
tokens * vocab * d_model, and its `softmax_cross_entropy_with_logits` writes dense
one-hot targets. The operations here gather instead. Both work with `vocab` split over a
mesh axis: every processor then answers for the ids in its own slice, and the answers
are added up.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from mtmoe.errors import LayoutError
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.operation import (
    LaidOutOperation,
    laid_out_tensor,
    split_axes,
    sum_over_axes,
)


def embedding_lookup(
    table: mtf.Tensor,
    ids: mtf.Tensor,
    output_shape: mtf.Shape | None = None,
    name: str = "embedding_lookup",
) -> mtf.Tensor:
    """Returns the rows `table[ids]`.

    The gradient adds the rows up by segment sum, in float32 whatever the dtype.

    Args:
      table: float [vocab, d_model]; the first dimension is the one that is indexed, and
        there may be any number of others.
      ids: int32 of any shape, each in [0, vocab).
      output_shape: the same dimensions in another order; by default those of `ids`,
        then those of `table` but its first.
      name: name of the operation.

    Returns:
      A tensor of `output_shape`, of the dtype of `table`.

    Raises:
      ValueError: `ids` and `table` share a dimension.
      LayoutError: when lowered, one mesh axis splits both `vocab` and `ids`.
    """
    if shared := set(table.shape.dims) & set(ids.shape.dims):
        raise ValueError(f"the table and the ids share dimensions: {shared}")
    table_shape, ids_shape = table.shape, ids.shape

    def lower(mesh_impl: mtf.MeshImpl, table: Any, ids: Any) -> Any:
        vocab_axis = _vocab_axis(mesh_impl, table_shape, ids_shape)
        if vocab_axis is None:
            return mesh_impl.slicewise(tf.gather, table, ids)
        # Each processor has the rows of its own ids and zeros for the others.
        offset = _slice_offset(mesh_impl, table_shape.dims[0], vocab_axis)
        partial = mesh_impl.slicewise(_masked_gather, table, ids, offset)
        return sum_over_axes(mesh_impl, partial, [vocab_axis])

    def gradient(operation: mtf.Operation, grad: mtf.Tensor) -> list[mtf.Tensor | None]:
        table, ids = operation.inputs
        return [_embedding_gradient(table, ids, grad), None]

    row_shape = mtf.Shape(ids.shape.dims + table.shape.dims[1:])
    output = (row_shape, table.dtype)
    rows = laid_out_tensor(lower, [table, ids], output, name, gradient)
    if output_shape is None or output_shape == row_shape:
        return rows
    return mtf.transpose(rows, mtf.Shape(output_shape))


def _embedding_gradient(
    table: mtf.Tensor, ids: mtf.Tensor, grad_rows: mtf.Tensor
) -> mtf.Tensor:
    """Adds up, for every row of a table, the gradients of the places it was used in."""
    table_shape, dtype, ids_shape = table.shape, table.dtype, ids.shape

    def lower(mesh_impl: mtf.MeshImpl, ids: Any, grad_rows: Any) -> Any:
        vocab_axis = _vocab_axis(mesh_impl, table_shape, ids_shape)
        offset = 0
        if vocab_axis is not None:
            offset = _slice_offset(mesh_impl, table_shape.dims[0], vocab_axis)
        vocab_slice, *row_sizes = mesh_impl.slice_shape(table_shape)

        def add_up(ids: tf.Tensor, grad_rows: tf.Tensor, offset: int) -> tf.Tensor:
            own_ids = tf.reshape(ids, [-1]) - offset
            # Ids of other slices: negative ones are ignored by the segment sum.
            own_ids = tf.where(own_ids < vocab_slice, own_ids, -1)
            rows = tf.cast(tf.reshape(grad_rows, [-1, *row_sizes]), tf.float32)
            summed = tf.math.unsorted_segment_sum(rows, own_ids, vocab_slice)
            return tf.cast(summed, dtype)

        # Processors that split the ids saw other places of the same rows.
        summed = mesh_impl.slicewise(add_up, ids, grad_rows, offset)
        return sum_over_axes(mesh_impl, summed, split_axes(mesh_impl, ids_shape))

    inputs = [ids, grad_rows]
    return laid_out_tensor(lower, inputs, (table_shape, dtype), "embedding_gradient")


def label_cross_entropy(
    logits: mtf.Tensor,
    labels: mtf.Tensor,
    vocab_dim: mtf.Dimension,
    z_loss: float = 0.0,
) -> mtf.Tensor:
    """Returns the loss of each label: cross-entropy + z_loss * log(Z)^2.

    Args:
      logits: float [..., vocab], any dtype; the loss is computed in float32.
      labels: int32 [...], each in [0, vocab).
      vocab_dim: the dimension of `logits` that is normalised.
      z_loss: weight that keeps log(Z), the log of the softmax's denominator, near zero
        (Chowdhery et al. 2022, section 5; 1e-4 there).

    Returns:
      float32 [...], in nats.

    Raises:
      ValueError: `labels` has not the dimensions of `logits` without `vocab_dim`.
    """
    scores = score_labels(logits, labels, vocab_dim)
    if z_loss == 0.0:
        return scores.cross_entropy
    return scores.cross_entropy + mtf.square(scores.log_z) * z_loss


class LabelScores(NamedTuple):
    """How well logits foretell labels, float32 [...] each.

    Attributes:
      cross_entropy: log(Z) - logits[labels], in nats.
      log_z: log(Z), the log of the softmax's denominator.
      is_largest: 1 where no logit is larger than the label's, so that it is the
        likeliest, or one of several that are equally likely; else 0. No gradient.
    """

    cross_entropy: mtf.Tensor
    log_z: mtf.Tensor
    is_largest: mtf.Tensor


def score_labels(
    logits: mtf.Tensor, labels: mtf.Tensor, vocab_dim: mtf.Dimension
) -> LabelScores:
    """Scores labels in one pass over the logits, forward and backward.

    Shapes are those of `label_cross_entropy`, and so is the error.
    """
    batch_shape = logits.shape - vocab_dim
    if set(labels.shape.dims) != set(batch_shape.dims):
        raise ValueError(
            f"labels must have the dimensions of logits without {vocab_dim.name}: "
            f"{batch_shape}, got {labels.shape}"
        )
    if logits.shape.dims[-1] != vocab_dim:
        logits = mtf.transpose(logits, batch_shape + vocab_dim)
    if labels.shape != batch_shape:
        labels = mtf.transpose(labels, batch_shape)

    def gradient(
        operation: mtf.Operation,
        grad_labels: mtf.Tensor | None,
        grad_log_z: mtf.Tensor | None,
        _: None,
    ) -> list[mtf.Tensor | None]:
        logits, labels = operation.inputs
        cross_entropy, log_z, _ = operation.outputs
        if grad_labels is None:
            grad_labels = mtf.zeros_like(cross_entropy)
        # d log(Z) / d logits = softmax, and the cross-entropy holds one log(Z) too.
        grad_softmax = grad_labels if grad_log_z is None else grad_labels + grad_log_z
        inputs = [logits, labels, log_z, grad_labels, grad_softmax]
        return [_label_gradient(vocab_dim, inputs), None]

    def lower(mesh_impl: mtf.MeshImpl, logits: Any, labels: Any) -> Any:
        axis = mesh_impl.tensor_dimension_to_mesh_axis(vocab_dim)
        largest = mesh_impl.slicewise(_largest, logits)
        if axis is None:
            return mesh_impl.slicewise(_whole_cross_entropy, logits, labels, largest)
        # Two collectives: the largest logit [...], then both sums at once [2, ...].
        largest = mesh_impl.allreduce(largest, [axis], "MAX")
        offset = _slice_offset(mesh_impl, vocab_dim, axis)
        partial = mesh_impl.slicewise(_partial_sums, logits, labels, largest, offset)
        sums = mesh_impl.allreduce(partial, [axis], "SUM")
        return mesh_impl.slicewise(_finish_cross_entropy, sums, largest)

    outputs = [(batch_shape, tf.float32)] * 3
    scored = LaidOutOperation(
        lower, [logits, labels], outputs, "label_cross_entropy", gradient
    )
    return LabelScores(*scored.outputs)


def _label_gradient(vocab_dim: mtf.Dimension, inputs: list[mtf.Tensor]) -> mtf.Tensor:
    """Softmax * grad_softmax - indicator(label) * grad_labels, in the logits' dtype."""

    def lower(mesh_impl: mtf.MeshImpl, *inputs: Any) -> Any:
        axis = mesh_impl.tensor_dimension_to_mesh_axis(vocab_dim)
        offset = 0 if axis is None else _slice_offset(mesh_impl, vocab_dim, axis)
        return mesh_impl.slicewise(_cross_entropy_gradient, *inputs, offset)

    output = (inputs[0].shape, inputs[0].dtype)
    return laid_out_tensor(lower, inputs, output, "label_cross_entropy_gradient")


def _vocab_axis(
    mesh_impl: mtf.MeshImpl, table: mtf.Shape, ids: mtf.Shape
) -> int | None:
    """The mesh axis that splits the rows of a table; None if none does."""
    axis = mesh_impl.tensor_dimension_to_mesh_axis(table.dims[0])
    if axis is not None and axis in split_axes(mesh_impl, ids):
        raise LayoutError(
            f"mesh dimension {mesh_impl.shape[axis].name!r} splits both "
            f"{table.dims[0].name!r} and the ids {ids} looked up in it; "
            "give them different mesh dimensions in Layout.layout_rules"
        )
    return axis


def _slice_offset(mesh_impl: mtf.MeshImpl, vocab_dim: mtf.Dimension, axis: int) -> Any:
    """First id of each processor's slice of `vocab_dim`, a laid out int32 scalar."""
    slice_size = vocab_dim.size // mesh_impl.shape[axis].size
    return mesh_impl.slicewise(
        lambda coordinate: coordinate * slice_size, mesh_impl.laid_out_pcoord(axis)
    )


def _own_ids(
    ids: tf.Tensor, offset: tf.Tensor, size: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Ids relative to a slice from `offset` on (0 if outside), and which are in it."""
    own_ids = ids - offset
    is_own = (own_ids >= 0) & (own_ids < size)
    return tf.where(is_own, own_ids, 0), is_own


def _masked_gather(table: tf.Tensor, ids: tf.Tensor, offset: tf.Tensor) -> tf.Tensor:
    """Rows of the ids in this slice of the table, zeros for the others."""
    own_ids, is_own = _own_ids(ids, offset, table.shape[0])
    is_own = tf.reshape(is_own, is_own.shape + [1] * (table.shape.rank - 1))
    return tf.where(is_own, tf.gather(table, own_ids), tf.zeros([], table.dtype))


def _largest(logits: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.reduce_max(logits, -1), tf.float32)


def _sum_of_exponentials(logits: tf.Tensor, largest: tf.Tensor) -> tf.Tensor:
    shifted = tf.cast(logits, tf.float32) - largest[..., tf.newaxis]
    return tf.reduce_sum(tf.exp(shifted), -1)


def _label_logit(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    gathered = tf.gather(logits, labels, axis=-1, batch_dims=labels.shape.rank)
    return tf.cast(gathered, tf.float32)


def _whole_cross_entropy(
    logits: tf.Tensor, labels: tf.Tensor, largest: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    sum_of_exponentials = _sum_of_exponentials(logits, largest)
    return _scores(sum_of_exponentials, _label_logit(logits, labels), largest)


def _partial_sums(
    logits: tf.Tensor, labels: tf.Tensor, largest: tf.Tensor, offset: tf.Tensor
) -> tf.Tensor:
    """One slice's share of [2, ...]: the sum of exponentials, and the label's logit.

    Exponentials are taken of logit - largest, the largest of all slices, so that none
    overflows; a label in another slice adds 0.
    """
    own_labels, is_own = _own_ids(labels, offset, logits.shape[-1])
    label_logit = tf.where(is_own, _label_logit(logits, own_labels), 0.0)
    return tf.stack([_sum_of_exponentials(logits, largest), label_logit])


def _finish_cross_entropy(
    sums: tf.Tensor, largest: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    sum_of_exponentials, label_logit = tf.unstack(sums)
    return _scores(sum_of_exponentials, label_logit, largest)


def _scores(
    sum_of_exponentials: tf.Tensor, label_logit: tf.Tensor, largest: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    log_z = largest + tf.math.log(sum_of_exponentials)
    is_largest = tf.cast(label_logit >= largest, tf.float32)
    return log_z - label_logit, log_z, is_largest


def _cross_entropy_gradient(
    logits: tf.Tensor,
    labels: tf.Tensor,
    log_z: tf.Tensor,
    grad_labels: tf.Tensor,
    grad_softmax: tf.Tensor,
    offset: tf.Tensor,
) -> tf.Tensor:
    log_z, grad_labels, grad_softmax, labels = (
        x[..., tf.newaxis] for x in (log_z, grad_labels, grad_softmax, labels)
    )
    # softmax = exp(logit - log(Z)): no division, and nothing kept but log(Z) [...].
    gradient = tf.exp(tf.cast(logits, tf.float32) - log_z) * grad_softmax
    is_label = tf.range(logits.shape[-1]) == labels - offset
    # A comparison fuses with the rest; an update in place would be a pass of its own.
    return tf.cast(tf.where(is_label, gradient - grad_labels, gradient), logits.dtype)
