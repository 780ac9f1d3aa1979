"""How likely given sequences are.

Shape suffixes: B batch, L inputs length, T targets length.
"""

from __future__ import annotations

import tensorflow as tf

from mtmoe.mesh.build import Build, Built
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.mesh.features import Features
from mtmoe.mesh.groupwise import groupwise
from mtmoe.mesh.lookup import label_cross_entropy
from mtmoe.model.decoding.prepare import without_drops
from mtmoe.model.features import Tokens, import_features, import_padded
from mtmoe.model.forward import score
from mtmoe.model.parts import Model


def scoring_builder(model: Model) -> Build:
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
        if model.encoder is not None:
            inputs, targets = import_features(context, features)
        else:
            inputs, targets = None, _joined(context, features)
        logits = score(context, model, inputs, targets).logits
        nats = label_cross_entropy(logits, targets.ids, logits.shape.dims[-1])
        nats = nats * targets.scored
        length, wanted = nats.shape.dims[1].size, features["targets"].shape[1]
        if length != wanted:
            nats = mtf.slice(nats, length - wanted, wanted, "length")
        return {"token_log_likelihood": -nats}, []

    return build


def _joined(context: GraphContext, features: Features) -> Tokens:
    """Prompt and targets in one row, the prompt's padding before it."""
    inputs, targets = (
        import_padded(context, features[name]) for name in ("inputs", "targets")
    )
    batch, prompt_length = inputs.ids.shape.dims
    length = targets.ids.shape.dims[1]
    shape = mtf.Shape(
        [batch, mtf.Dimension("length", prompt_length.size + length.size)]
    )
    ids, is_used, is_prompt = groupwise(
        _join,
        [inputs.ids, inputs.nonpadding, targets.ids, targets.nonpadding],
        [(shape, tf.int32), (shape, tf.float32), (shape, tf.float32)],
        [batch],
        "join_prompt",
    )
    return Tokens(
        ids,
        is_used,
        segments=mtf.cast(is_used, tf.int32),  # hides the padding that comes first
        prefix=is_prompt,
        loss_weights=is_used * (1.0 - is_prompt),
    )


def _join(
    inputs_BL: tf.Tensor,
    is_input_BL: tf.Tensor,
    targets_BT: tf.Tensor,
    is_target_BT: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Whole rows: ids, which of them are tokens, and which are the prompt's."""
    order_BL = tf.argsort(tf.cast(is_input_BL, tf.int32), axis=1, stable=True)
    inputs_BL, is_input_BL = (
        tf.gather(array, order_BL, axis=1, batch_dims=1)
        for array in (inputs_BL, is_input_BL)
    )
    return (
        tf.concat([inputs_BL, targets_BT], axis=1),
        tf.concat([is_input_BL, is_target_BT], axis=1),
        tf.concat([is_input_BL, tf.zeros_like(is_target_BT)], axis=1),
    )
