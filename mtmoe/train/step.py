"""What one training step computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import tensorflow as tf

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.mesh.lookup import cross_entropy_and_log_z
from mtmoe.mesh.program import Build, Built, Features
from mtmoe.model.encoder_decoder import EncoderDecoder, nonpadding
from mtmoe.model.features import import_features
from mtmoe.model.moe.statistics import summarize_routing
from mtmoe.train.optimizers import Gradients, global_norm

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
      logit_z_loss: weight of log(Z)^2 of the output softmax.

    Returns:
      A build function of the features `inputs` and `targets`, int32 [batch, length],
      whose outputs are float32 scalars: `loss` (cross-entropy alone, in nats per target
      token), `accuracy`, `learning_rate`, `gradient_norm` and, if the model has Switch
      layers, the fields of `RoutingSummary`.
    """

    def build(context: GraphContext, features: Features) -> Built:
        inputs, targets = import_features(context, features)
        output = model(context, inputs, targets)
        vocab = output.logits.shape.dims[-1]
        cross_entropy, log_z = cross_entropy_and_log_z(output.logits, targets, vocab)
        weights = nonpadding(targets)
        tokens = mtf.maximum(mtf.reduce_sum(weights), 1.0)
        loss = mtf.reduce_sum(cross_entropy * weights) / tokens
        objective = loss
        if logit_z_loss:
            squares = mtf.reduce_sum(mtf.square(log_z) * weights)
            objective += squares / tokens * logit_z_loss
        correct = mtf.equal(mtf.argmax(output.logits, vocab), targets)
        hits = mtf.reduce_sum(mtf.cast(correct, tf.float32) * weights)
        outputs = {"loss": loss, "accuracy": hits / tokens}
        if output.routing:
            summary = summarize_routing(output.routing)
            objective += summary.balance_loss + summary.z_loss
            outputs |= vars(summary)
        gradients = _gradients(context, objective)
        learning_rate = schedule(context.step)
        updates = optimizer.updates(context, gradients, learning_rate)
        outputs["learning_rate"] = context.import_tensor(learning_rate, mtf.Shape([]))
        outputs["gradient_norm"] = global_norm(gradients)
        return outputs, updates

    return build


def _gradients(context: GraphContext, objective: mtf.Tensor) -> Gradients:
    """Pairs every trainable variable with its gradient."""
    variables = context.mesh.graph.trainable_variables
    gradients = mtf.gradients([objective], [v.outputs[0] for v in variables])
    return list(zip(variables, gradients, strict=True))
