"""How likely given sequences are.

Shape suffixes: B batch, L inputs length, T targets length.
"""

from __future__ import annotations

import tensorflow as tf

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.mesh.lookup import label_cross_entropy
from mtmoe.mesh.program import Build, Built, Features
from mtmoe.model.decoding.prepare import without_drops
from mtmoe.model.features import Tokens, before_padding, import_features
from mtmoe.model.transformer import Transformer


def scoring_builder(model: Transformer) -> Build:
    """Makes the build function that scores targets.

    Nothing is dropped by an expert, so that an example's score does not depend on its
    neighbours in the batch.

    Args:
      model: the model; its evaluation capacity is not used. A decoder alone reads the
        inputs as a prompt.

    Returns:
      A build function of the features `inputs` and `targets`, int32 [B, L] and [B, T],
      padded with 0 at the end, with the output `token_log_likelihood`, float32 [B, T]:
      the log of each target's probability given the inputs and the targets before it, 0
      at padding.
    """
    model = without_drops(model)

    def build(context: GraphContext, features: Features) -> Built:
        if model.takes_inputs:
            inputs, targets = import_features(context, features)
        else:
            inputs, targets = None, _joined(context, features)
        logits = model(context, inputs, targets).logits
        nats = label_cross_entropy(logits, targets.ids, logits.shape.dims[-1])
        nats = nats * targets.scored
        length, wanted = nats.shape.dims[1].size, features["targets"].shape[1]
        if length != wanted:
            nats = mtf.slice(nats, length - wanted, wanted, "length")
        return {"token_log_likelihood": -nats}, []

    return build


def _joined(context: GraphContext, features: Features) -> Tokens:
    """Prompt and targets in one row, the prompt's padding before it."""
    inputs_BL, targets_BT = features["inputs"], features["targets"]
    is_input_BL, is_target_BT = before_padding(inputs_BL), before_padding(targets_BT)
    order_BL = tf.argsort(tf.cast(is_input_BL, tf.int32), axis=1, stable=True)
    inputs_BL, is_input_BL = (
        tf.gather(array, order_BL, axis=1, batch_dims=1)
        for array in (inputs_BL, is_input_BL)
    )
    ids = tf.concat([inputs_BL, targets_BT], axis=1)
    is_used = tf.concat([is_input_BL, is_target_BT], axis=1)
    is_prompt = tf.concat([is_input_BL, tf.zeros_like(is_target_BT)], axis=1)
    batch, length = ids.shape
    shape = mtf.Shape([mtf.Dimension("batch", batch), mtf.Dimension("length", length)])

    def laid_out(array: tf.Tensor, dtype: tf.DType) -> mtf.Tensor:
        return context.import_tensor(tf.cast(array, dtype), shape)

    return Tokens(
        laid_out(ids, tf.int32),
        laid_out(is_used, tf.float32),
        segments=laid_out(is_used, tf.int32),  # hides the padding that comes first
        prefix=laid_out(is_prompt, tf.float32),
        loss_weights=laid_out(is_used & ~is_prompt, tf.float32),
    )
