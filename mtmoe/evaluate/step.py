"""What one evaluation step computes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from mtmoe.mesh.build import Build, Built
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.mesh.features import Features
from mtmoe.mesh.lookup import label_cross_entropy
from mtmoe.model.features import Tokens, import_features, import_segmented_features
from mtmoe.model.forward import score
from mtmoe.model.moe.mixture import PACKED_PRIORITY, ROW_PRIORITY, MixtureOfExperts
from mtmoe.model.parts import Model, Parts, expert_layers, parts_of, with_experts
from mtmoe.train.settings import TrainingRun
from mtmoe.train.step import step_features


def evaluation_features(
    model: Model, lengths: Mapping[str, int], batch_size: int
) -> dict[str, tf.TensorSpec]:
    """Returns what an evaluation step takes, by name.

    Args:
      model: the model.
      lengths: of `inputs` and `targets`; for a decoder alone of `targets` only.
      batch_size: rows.
    """
    if model.encoder is not None:
        return {
            name: tf.TensorSpec([batch_size, length], tf.int32)
            for name, length in lengths.items()
        }
    features = step_features(lengths, batch_size)
    del features["targets_language"]
    return features


def evaluation_step_builder(model: Model, packed: bool = False) -> Build:
    """Makes the build function of an evaluation step, without any auxiliary loss.

    Capacity is the model's evaluation capacity, and routing groups are made of
    neighbouring examples; the same batch gives the same result.

    Args:
      model: the model.
      packed: whether it was trained on packed rows: which tokens a full expert drops
        is decided as it was there.

    Returns:
      A build function of the features `inputs` and `targets`, int32 [batch, length]; of
      a decoder alone `targets`, `targets_segments`, `targets_prefix`, int32, and
      `targets_loss_weights`, float32. Its outputs are `token_loss`, float32 [batch,
      length of targets], cross-entropy in nats, 0 where a token is not scored;
      `predictions`, int32 of the same shape, the likeliest token
      given the true ones before it; and, if the model has Switch layers,
      `expert_counts`, float32 [batch, layers, experts], tokens by first choice, and
      `dropped_counts`, float32 [batch, layers]. Layers are in the order of
      `expert_layer_names(model)`.
    """
    model = with_drop_rule(model, packed)

    def build(context: GraphContext, features: Features) -> Built:
        inputs: Tokens | None
        if model.encoder is not None:
            inputs, targets = import_features(context, features)
        else:
            inputs, targets = import_segmented_features(
                context, features, packed=False, num_languages=0
            )
        output = score(context, model, inputs, targets)
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


def with_drop_rule(model: Model, packed: bool) -> Parts:
    """Returns a model whose full experts drop those tokens that they drop in training.

    Where `MixtureOfExperts.priority` is None, the rule follows from the rows: on packed
    ones the least confident go, on others the last. A row that is scored holds one
    example however the model was trained, so the rule is made explicit here.

    Args:
      model: the model.
      packed: whether it was trained on packed rows.
    """

    def explicit(moe: MixtureOfExperts) -> MixtureOfExperts:
        return dataclasses.replace(moe, priority=moe.priority or PACKED_PRIORITY)

    return with_experts(model, explicit) if packed else parts_of(model)


def routing_facts(run: TrainingRun) -> dict[str, Any] | None:
    """Returns how full experts drop tokens here and dropped them in training.

    Args:
      run: the run as it was trained.

    Returns:
      None for a model without experts; else `packed_in_training`, `priority`,
      `train_factor` and `evaluation_factor`.
    """
    configs = [layer.config for _, layer in expert_layers(run.model)]
    if not configs:
        return None
    moe = configs[0]
    packed = run.packing is not None
    return {
        "packed_in_training": packed,
        "priority": moe.priority or (PACKED_PRIORITY if packed else ROW_PRIORITY),
        "train_factor": moe.capacity.train_factor,
        "evaluation_factor": moe.capacity.evaluation_factor,
    }
