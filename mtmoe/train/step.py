"""What one training step computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import tensorflow as tf

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.mesh.lookup import cross_entropy_and_log_z
from mtmoe.mesh.program import Build, Built, Features
from mtmoe.model.encoder_decoder import EncoderDecoder, ModelOutput
from mtmoe.model.features import Tokens, import_segmented_features
from mtmoe.model.moe.statistics import summarize_routing
from mtmoe.train.optimizers import Gradients, global_norm

FEATURES = (
    ("inputs", "inputs"),
    ("targets", "targets"),
    ("inputs_segments", "inputs"),
    ("targets_segments", "targets"),
    ("inputs_language", "inputs"),
    ("targets_language", "targets"),
)
"""What a training step takes: name, and which feature's length it has."""

Schedule = Callable[[tf.Tensor], tf.Tensor]


class Optimizer(Protocol):
    """Turns gradients into assignments."""

    def updates(
        self, context: GraphContext, gradients: Gradients, learning_rate: tf.Tensor
    ) -> list[mtf.Operation]:
        """Returns the operations that update every variable of `gradients`."""
        ...


def train_step_builder(
    model: EncoderDecoder,
    optimizer: Optimizer,
    schedule: Schedule,
    num_languages: int,
    packed: bool = False,
    logit_z_loss: float = 1e-4,
) -> Build:
    """Makes the build function of a training step.

    The loss that is minimised is the mean cross-entropy of the non-padding target
    tokens, plus `logit_z_loss` times the mean of log(Z)^2 (T5; Chowdhery et al. 2022,
    section 5), plus the routers' balance and z losses, summed over layers.

    Args:
      model: the model.
      optimizer: makes the updates.
      schedule: learning rate as a function of the step.
      num_languages: languages to count by, 0 for none.
      packed: whether a row may hold several segments.
      logit_z_loss: weight of log(Z)^2 of the output softmax.

    Returns:
      A build function of `FEATURES`, int32 [batch, length] each: padding is where the
      segment is 0, whatever the id, and the language is -1 at padding and where there
      is none. Its outputs are float32 scalars: `loss` (cross-entropy alone, in nats per
      target token), `accuracy`, `learning_rate`, `gradient_norm` and, if the model has
      Switch layers, the fields of `RoutingSummary`. With languages there are also
      `language_loss` [languages], cross-entropy summed over a language's target tokens,
      in nats; `language_tokens` [languages], how many they are; and, with Switch
      layers, `language_experts` [layers, languages, experts], tokens by first choice.
    """

    def build(context: GraphContext, features: Features) -> Built:
        inputs, targets = import_segmented_features(
            context, features, packed, num_languages
        )
        output = model(context, inputs, targets)
        vocab = output.logits.shape.dims[-1]
        cross_entropy, log_z = cross_entropy_and_log_z(
            output.logits, targets.ids, vocab
        )
        weights = targets.nonpadding
        tokens = mtf.maximum(mtf.reduce_sum(weights), 1.0)
        loss = mtf.reduce_sum(cross_entropy * weights) / tokens
        objective = loss
        if logit_z_loss:
            squares = mtf.reduce_sum(mtf.square(log_z) * weights)
            objective += squares / tokens * logit_z_loss
        correct = mtf.equal(mtf.argmax(output.logits, vocab), targets.ids)
        hits = mtf.reduce_sum(mtf.cast(correct, tf.float32) * weights)
        outputs = {"loss": loss, "accuracy": hits / tokens}
        if output.routing:
            summary = summarize_routing(output.routing)
            objective += summary.balance_loss + summary.z_loss
            outputs |= vars(summary)
        outputs |= _by_language(output, targets, cross_entropy)
        gradients = _gradients(context, objective)
        learning_rate = schedule(context.step)
        updates = optimizer.updates(context, gradients, learning_rate)
        outputs["learning_rate"] = context.import_tensor(learning_rate, mtf.Shape([]))
        outputs["gradient_norm"] = global_norm(gradients)
        return outputs, updates

    return build


def _by_language(
    output: ModelOutput, targets: Tokens, cross_entropy: mtf.Tensor
) -> dict[str, mtf.Tensor]:
    """Sums over each language's tokens; padding has none."""
    if targets.languages is None:
        return {}
    languages = targets.languages.shape.dims[-1]
    sums = {
        "language_loss": mtf.einsum(
            [targets.languages, cross_entropy], output_shape=[languages]
        ),
        "language_tokens": mtf.reduce_sum(targets.languages, output_shape=[languages]),
    }
    if output.routing:
        counts = [layer.language_counts for layer in output.routing]
        sums["language_experts"] = mtf.stack(counts, "layers")
    return sums


def _gradients(context: GraphContext, objective: mtf.Tensor) -> Gradients:
    """Pairs every trainable variable with its gradient."""
    variables = context.mesh.graph.trainable_variables
    gradients = mtf.gradients([objective], [v.outputs[0] for v in variables])
    return list(zip(variables, gradients, strict=True))
