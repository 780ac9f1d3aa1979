"""What one evaluation step computes."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.mesh.lookup import label_cross_entropy
from mtmoe.mesh.program import Build, Built, Features
from mtmoe.model.features import Tokens, import_features, import_segmented_features
from mtmoe.model.transformer import Transformer
from mtmoe.train.step import step_features


def evaluation_features(
    model: Transformer, lengths: Mapping[str, int], batch_size: int
) -> dict[str, tf.TensorSpec]:
    """Returns what an evaluation step takes, by name.

    Args:
      model: the model.
      lengths: of `inputs` and `targets`; for a decoder alone of `targets` only.
      batch_size: rows.
    """
    if model.takes_inputs:
        return {
            name: tf.TensorSpec([batch_size, length], tf.int32)
            for name, length in lengths.items()
        }
    features = step_features(lengths, batch_size)
    del features["targets_language"]
    return features


def evaluation_step_builder(model: Transformer) -> Build:
    """Makes the build function of an evaluation step, without any auxiliary loss.

    Capacity is the model's evaluation capacity, and routing groups are made of
    neighbouring examples; the same batch gives the same result.

    Args:
      model: the model.

    Returns:
      A build function of the features `inputs` and `targets`, int32 [batch, length]; of
      a decoder alone `targets`, `targets_segments`, `targets_prefix`, int32, and
      `targets_loss_weights`, float32. Its outputs are `token_loss`, float32 [batch,
      length of targets], cross-entropy in nats, 0 where a token is not scored;
      `predictions`, int32 of the same shape, the likeliest token
      given the true ones before it; and, if the model has Switch layers,
      `expert_counts`, float32 [batch, layers, experts], tokens by first choice, and
      `dropped_counts`, float32 [batch, layers]. Layers are in the order of
      `model.switch_layer_names()`.
    """

    def build(context: GraphContext, features: Features) -> Built:
        inputs: Tokens | None
        if model.takes_inputs:
            inputs, targets = import_features(context, features)
        else:
            inputs, targets = import_segmented_features(
                context, features, packed=False, num_languages=0
            )
        output = model(context, inputs, targets)
        vocab = output.logits.shape.dims[-1]
        token_loss = label_cross_entropy(output.logits, targets.ids, vocab)
        outputs = {
            "token_loss": token_loss * targets.scored,
            "predictions": mtf.argmax(output.logits, vocab),
        }
        if output.routing:
            outputs["expert_counts"] = mtf.stack(
                [layer.expert_counts for layer in output.routing], "layers", axis=1
            )
            outputs["dropped_counts"] = mtf.stack(
                [layer.dropped_counts for layer in output.routing], "layers", axis=1
            )
        return outputs, []

    return build
