"""What one evaluation step computes."""

from __future__ import annotations

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.mesh.lookup import label_cross_entropy
from mtmoe.mesh.program import Build, Built, Features
from mtmoe.model.encoder_decoder import EncoderDecoder
from mtmoe.model.features import import_features


def evaluation_step_builder(model: EncoderDecoder) -> Build:
    """Makes the build function of an evaluation step, without any auxiliary loss.

    Capacity is the model's evaluation capacity, and routing groups are made of
    neighbouring examples; the same batch gives the same result.

    Args:
      model: the model.

    Returns:
      A build function of the features `inputs` and `targets`, int32 [batch, length],
      with the outputs `token_loss`, float32 [batch, length of targets], cross-entropy
      in nats, 0 at padding; `predictions`, int32 of the same shape, the likeliest token
      given the true ones before it; and, if the model has Switch layers,
      `expert_counts`, float32 [batch, layers, experts], tokens by first choice, and
      `dropped_counts`, float32 [batch, layers]. Layers are in the order of
      `model.switch_layer_names()`.
    """

    def build(context: GraphContext, features: Features) -> Built:
        inputs, targets = import_features(context, features)
        output = model(context, inputs, targets)
        vocab = output.logits.shape.dims[-1]
        token_loss = label_cross_entropy(output.logits, targets.ids, vocab)
        outputs = {
            "token_loss": token_loss * targets.nonpadding,
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
