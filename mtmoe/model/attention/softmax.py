"""Attention weights: the softmax of logits and what is added to them."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.sums import sum_to


def softmax(logits: mtf.Tensor, biases: Sequence[mtf.Tensor] = ()) -> mtf.Tensor:
    """Softmax of logits plus biases over the last dimension, computed in float32.

    One operation forward and its closed form backward, dx = y (dy - sum(dy y)), which
    a bias gets summed over the dimensions it lacks; Mesh TensorFlow's own spells out
    and stores every step of the log-softmax.

    Args:
      logits: any float tensor; its last dimension, which sums to one in the result, may
        not be split.
      biases: each of a subset of the dimensions of `logits`, in their order.

    Returns:
      A tensor of the shape and dtype of `logits`.
    """
    dims = logits.shape.dims

    def forward(x: tf.Tensor, *added: tf.Tensor) -> tf.Tensor:
        x = tf.cast(x, tf.float32)
        for bias, values in zip(biases, added, strict=True):
            for axis, dim in enumerate(dims):
                if dim not in bias.shape.dims:
                    values = tf.expand_dims(values, axis)
            x += tf.cast(values, tf.float32)
        return tf.cast(tf.nn.softmax(x), logits.dtype)

    def gradient(y: tf.Tensor, dy: tf.Tensor) -> tf.Tensor:
        y, dy = tf.cast(y, tf.float32), tf.cast(dy, tf.float32)
        inner = tf.reduce_sum(dy * y, axis=-1, keepdims=True)
        return tf.cast(y * (dy - inner), logits.dtype)

    def backward(operation: mtf.Operation, dy: mtf.Tensor) -> list[mtf.Tensor]:
        d_logits = mtf.slicewise(
            gradient,
            [operation.outputs[0], dy],
            splittable_dims=dims[:-1],
            grad_function=0,
            name="softmax_gradient",
        )
        return [d_logits, *(_summed(d_logits, bias) for bias in biases)]

    return mtf.slicewise(
        forward,
        [logits, *biases],
        splittable_dims=dims[:-1],
        grad_function=backward,
        name="softmax",
    )


def _summed(d_logits: mtf.Tensor, bias: mtf.Tensor) -> mtf.Tensor:
    shape = bias.shape
    leading_only = d_logits.shape.dims[-shape.ndims :] == shape.dims
    add_up = sum_to if leading_only else mtf.reduce_sum
    return mtf.cast(add_up(d_logits, output_shape=shape), bias.dtype)
