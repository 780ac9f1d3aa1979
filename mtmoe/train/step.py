"""What one training step computes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import tensorflow as tf

from mtmoe.errors import ConfigError, LayoutError
from mtmoe.mesh.build import Build, Built
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.mesh.features import Features
from mtmoe.mesh.joined_sums import joined_sums
from mtmoe.mesh.layout import Layout
from mtmoe.mesh.lookup import score_labels
from mtmoe.mesh.outer import OUTER_BATCH, own_rows, part_number, sum_of_parts
from mtmoe.model.features import (
    Tokens,
    import_arrays,
    segmented_tokens,
    take_microbatch,
)
from mtmoe.model.forward import ModelOutput, score
from mtmoe.model.parts import Model
from mtmoe.model.routing import (
    LayerRouting,
    summarize_routing,
    sums_of_batch,
)
from mtmoe.train.optimizers.interface import Gradients, Optimizer
from mtmoe.train.optimizers.norm import global_norm
from mtmoe.train.optimizers.split_state import split_gradients

Schedule = Callable[[tf.Tensor], tf.Tensor]
Arrays = Mapping[str, mtf.Tensor]
Sums = dict[str, mtf.Tensor]


def step_features(
    lengths: Mapping[str, int], batch_size: int
) -> dict[str, tf.TypeSpec]:
    """Returns what a training step takes, by name.

    Args:
      lengths: of `inputs` and `targets`; for a decoder alone of `targets` only.
      batch_size: rows.

    Returns:
      Of each feature `<feature>`, `<feature>_segments` and `<feature>_language`, int32;
      for a decoder alone also `targets_prefix`, int32, and `targets_loss_weights`,
      float32; see `segmented_tokens`.
    """
    specs = {
        f"{name}{suffix}": tf.TensorSpec([batch_size, length], tf.int32)
        for suffix in ("", "_segments", "_language")
        for name, length in lengths.items()
    }
    if "inputs" not in lengths:
        shape = [batch_size, lengths["targets"]]
        specs["targets_prefix"] = tf.TensorSpec(shape, tf.int32)
        specs["targets_loss_weights"] = tf.TensorSpec(shape, tf.float32)
    return specs


@dataclasses.dataclass(frozen=True)
class StepMemory:
    """How a step saves memory; what it computes stays the same.

    Attributes:
      microbatches: parts of the batch that are computed one after the other, their
        gradients added up. Routing groups are those of the whole batch, and must lie
        within a part.
      recompute_layers: whether only what lies between layers is kept for the backward
        pass, and the layers' insides are computed again there.
    """

    microbatches: int = 1
    recompute_layers: bool = False


def train_step_builder(
    model: Model,
    optimizer: Optimizer,
    schedule: Schedule,
    num_languages: int,
    packed: bool = False,
    logit_z_loss: float = 1e-4,
    memory: StepMemory = StepMemory(),  # noqa: B008  (frozen)
) -> Build:
    """Makes the build function of a training step.

    The loss that is minimised is the mean cross-entropy of the scored target tokens,
    plus `logit_z_loss` times the mean of log(Z)^2 (T5; Chowdhery et al. 2022, section
    5), plus the routers' balance and z losses, means over the tokens they route, summed
    over layers. All means are over the tokens of the whole batch, in however many parts
    it is computed.

    Args:
      model: the model.
      optimizer: makes the updates.
      schedule: learning rate as a function of the step.
      num_languages: languages to count by, 0 for none.
      packed: whether a row may hold several segments.
      logit_z_loss: weight of log(Z)^2 of the output softmax.
      memory: how to save memory.

    Returns:
      A build function of `step_features`: padding is where the segment is 0, whatever
      the id, and the language is -1 at padding and where there is none. Its outputs are
      float32 scalars: `loss` (cross-entropy alone, in nats per target token),
      `accuracy` (no logit larger than the target's), `learning_rate`, `gradient_norm`
      and, if the model has layers of experts, the fields of `RoutingSummary`.

      The others are sums over tokens. With languages: `language_loss` [languages],
      cross-entropy of a language's target tokens, in nats, and `language_tokens`
      [languages], how many they are. With layers of experts `layer_tokens`,
      `layer_dropped`, `layer_entropy`, `layer_log_z_square` [layers] and
      `layer_experts` [layers, experts], tokens by first choice. With both
      `language_experts` [layers, languages, experts], `language_dropped` and
      `language_entropy` [layers, languages].
    """

    def build(context: GraphContext, features: Features) -> Built:
        parts, outer = memory.microbatches, context.layout.splits(OUTER_BATCH)
        check_microbatches(context.layout, features["targets"].shape[0], parts)
        arrays = import_arrays(context, features, parts, outer)
        totals = _Totals.of(arrays)
        context = dataclasses.replace(
            context,
            recompute_layers=memory.recompute_layers,
            microbatches=parts * outer,
            outer_parts=outer,
        )
        first = None
        if outer > 1:
            arrays = {name: own_rows(array) for name, array in arrays.items()}
            first = part_number(context.mesh, outer) * parts
            context = dataclasses.replace(context, microbatch=first)

        def compute(context: GraphContext, arrays: Arrays) -> tuple[Sums, Gradients]:
            inputs, targets = segmented_tokens(arrays, packed, num_languages)
            sums, objective = _forward(
                model, context, inputs, targets, totals, logit_z_loss
            )
            return sums, _gradients(context, objective)

        if parts == 1:
            outputs, gradients = compute(context, arrays)
        else:
            outputs, gradients = _add_up(context, arrays, parts, first, compute)
        if outer > 1:
            total = joined_sums([sum_of_parts(x, outer) for x in outputs.values()])
            outputs = dict(zip(outputs, total, strict=True))
            gradients = [(v, sum_of_parts(grad, outer)) for v, grad in gradients]
        if "layer_experts" in outputs:
            outputs["expert_load_max_over_mean"] = _load(outputs["layer_experts"])
        gradients = split_gradients(context, gradients)
        summed = joined_sums([gradient for _, gradient in gradients])
        gradients = [(v, grad) for (v, _), grad in zip(gradients, summed, strict=True)]
        learning_rate = schedule(context.step)
        updates = optimizer.updates(context, gradients, learning_rate)
        outputs["learning_rate"] = context.import_tensor(learning_rate, mtf.Shape([]))
        outputs["gradient_norm"] = global_norm(gradients)
        return outputs, updates

    return build


def check_microbatches(layout: Layout, batch_size: int, parts: int) -> None:
    """Checks that a batch can be computed in so many parts.

    Args:
      layout: how the batch and the rows of a part are split over the mesh.
      batch_size: rows of the batch.
      parts: how many parts, one after the other.

    Raises:
      ConfigError: they would not have equally many rows.
      LayoutError: the layout would cut through a row of one.
    """
    divisors = [n for n in range(1, batch_size + 1) if batch_size % n == 0]
    if batch_size % parts:
        near = sorted(divisors, key=lambda n: abs(n - parts))[:2]
        raise ConfigError(
            f"train.microbatches is {parts}, it must divide the batch of {batch_size} "
            f"rows, as {' or '.join(map(str, sorted(near)))} would"
        )
    outer, splits = layout.splits(OUTER_BATCH), layout.splits("batch")
    ways, rows = outer * splits, batch_size // parts
    if (parts == 1 and outer == 1) or rows % ways == 0:
        return
    split = f"splits `batch` into {splits} parts"
    if outer > 1:
        split = f"splits the batch into {outer} outer parts and each into {splits}"
    fitting = [n for n in divisors if batch_size // n % ways == 0]
    change = f"train.batch_size must be a multiple of {ways}"
    if fitting:
        change = f"take at most {fitting[-1]} microbatches"
    raise LayoutError(
        f"the layout {split}, but each of the {parts} microbatches has {rows} rows; "
        f"{change}, or {ways * parts} rows a batch"
    )


@dataclasses.dataclass(frozen=True)
class _Totals:
    """Tokens of the whole batch, float32 scalars, at least 1.

    Attributes:
      scored: sum of the targets' weights.
      inputs: tokens of the inputs; None for a decoder alone.
      targets: tokens of the targets.
    """

    scored: mtf.Tensor
    inputs: mtf.Tensor | None
    targets: mtf.Tensor

    @classmethod
    def of(cls, arrays: Arrays) -> _Totals:
        inputs, targets = segmented_tokens(arrays, packed=False, num_languages=0)
        counted = [targets.scored, targets.nonpadding]
        if inputs is not None:
            counted.append(inputs.nonpadding)
        sums = joined_sums([mtf.reduce_sum(weights) for weights in counted])
        scored, of_targets, *of_inputs = (mtf.maximum(total, 1.0) for total in sums)
        return cls(scored, of_inputs[0] if of_inputs else None, of_targets)

    def routed(self, output: ModelOutput) -> list[mtf.Tensor]:
        """How many tokens pass each layer of experts."""
        encoder = [self.inputs for _ in output.encoder_routing]
        return [*encoder, *(self.targets for _ in output.decoder_routing)]


def _forward(
    model: Model,
    context: GraphContext,
    inputs: Tokens | None,
    targets: Tokens,
    totals: _Totals,
    logit_z_loss: float,
) -> tuple[Sums, mtf.Tensor]:
    """Returns what is reported and what is minimised.

    Both are additive: those of the parts of a batch sum up to those of the batch.
    """
    output = score(context, model, inputs, targets)
    scores = score_labels(output.logits, targets.ids, output.logits.shape.dims[-1])
    weights = targets.scored
    cross_entropy = scores.cross_entropy * weights
    of_tokens = {
        "loss": mtf.reduce_sum(cross_entropy),
        "accuracy": mtf.reduce_sum(scores.is_largest * weights),
    }
    if logit_z_loss:
        squares = mtf.square(scores.log_z) * (weights * logit_z_loss)
        of_tokens["z_loss_of_logits"] = mtf.reduce_sum(squares)
    if targets.languages is not None:
        shape = targets.languages.shape.dims[-1:]
        for name, tokens in (("loss", cross_entropy), ("tokens", weights)):
            of_tokens[f"language_{name}"] = mtf.einsum(
                [targets.languages, tokens], output_shape=shape
            )
    routing, joined = sums_of_batch(output.routing, list(of_tokens.values()))
    sums = dict(zip(of_tokens, joined, strict=True))
    objective = sums["loss"]
    if logit_z_loss:
        objective += sums.pop("z_loss_of_logits")
    objective /= totals.scored
    for name in ("loss", "accuracy"):
        sums[name] /= totals.scored
    if routing:
        summary = summarize_routing(routing, totals.routed(output))
        objective += summary.balance_loss + summary.z_loss
        sums |= vars(summary)
        del sums["expert_load_max_over_mean"]  # of the whole batch: it is no sum
        sums |= _by_layer(routing)
    return sums, objective


def _by_layer(routing: Sequence[LayerRouting]) -> Sums:
    """Sums over each layer's tokens, and over those of each language."""

    def stack(tensors: Sequence[mtf.Tensor]) -> mtf.Tensor:
        return mtf.stack(list(tensors), "layers")

    sums = {
        "layer_tokens": stack([layer.tokens for layer in routing]),
        "layer_dropped": stack([layer.dropped_counts for layer in routing]),
        "layer_entropy": stack([layer.entropy for layer in routing]),
        "layer_log_z_square": stack([layer.log_z_square for layer in routing]),
        "layer_experts": stack([layer.expert_counts for layer in routing]),
    }
    languages = [layer.by_language for layer in routing if layer.by_language]
    if languages:
        sums["language_experts"] = stack([x.expert_counts for x in languages])
        sums["language_dropped"] = stack([x.dropped for x in languages])
        sums["language_entropy"] = stack([x.entropy for x in languages])
    return sums


def _load(layer_experts: mtf.Tensor) -> mtf.Tensor:
    """The busiest expert's tokens over the mean, averaged over layers.

    Args:
      layer_experts: [layers, experts_unsplit], counts.
    """
    layers, experts = layer_experts.shape.dims
    busiest = mtf.reduce_max(layer_experts, output_shape=[layers])
    tokens = mtf.maximum(mtf.reduce_sum(layer_experts, output_shape=[layers]), 1.0)
    return mtf.reduce_mean(busiest / tokens) * float(experts.size)


def _gradients(context: GraphContext, objective: mtf.Tensor) -> Gradients:
    """Pairs every trainable variable with its gradient."""
    variables = context.mesh.graph.trainable_variables
    gradients = mtf.gradients([objective], [v.outputs[0] for v in variables])
    return list(zip(variables, gradients, strict=True))


def _add_up(
    context: GraphContext,
    arrays: Arrays,
    parts: int,
    first: mtf.Tensor | None,
    compute: Callable[[GraphContext, Arrays], tuple[Sums, Gradients]],
) -> tuple[Sums, Gradients]:
    """Computes the parts of a batch one after the other, and sums what they give.

    They are numbered from `first` on, or from 0. One loop, so the graph has the size of
    one part. Gradients are summed in float32.
    """
    names: list[str] = []
    variables: list[mtf.Variable] = []

    def body(number: mtf.Tensor) -> list[mtf.Tensor]:
        sums, gradients = compute(
            dataclasses.replace(
                context, microbatch=number if first is None else first + number
            ),
            take_microbatch(arrays, number),
        )
        names.extend(sums)
        variables.extend(variable for variable, _ in gradients)
        added = [mtf.cast(gradient, tf.float32) for _, gradient in gradients]
        return [number + 1, *sums.values(), *added]

    _, *summed = mtf.while_loop(
        lambda number: mtf.less(number, parts),
        body,
        [mtf.constant(context.mesh, 0, dtype=tf.int32)],
        has_accumulators=True,
        parallel_iterations=1,  # the next part's activations wait for this one's end
    )
    sums = dict(zip(names, summed, strict=False))
    gradients = list(zip(variables, summed[len(names) :], strict=True))
    return sums, gradients
