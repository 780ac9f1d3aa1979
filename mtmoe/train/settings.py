"""What a training run is, as gin gives it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Annotated

import gin

from mtmoe.checkpoint.store import MINIMUM_KEPT
from mtmoe.data.batches.training import Packing, TrainingBatches
from mtmoe.engine.compile.options import Engine  # noqa: F401  (for gin)
from mtmoe.errors import ConfigError, UnknownNameError
from mtmoe.mesh.build import Build
from mtmoe.mesh.layout import Layout
from mtmoe.mesh.outer import OUTER_BATCH
from mtmoe.mesh.precision import named_precision
from mtmoe.model.moe.capacity import check_groups_within
from mtmoe.model.moe.groups import gathering_notices
from mtmoe.model.moe.mixture import MixtureOfExperts, capacity_notices
from mtmoe.model.parts import Model, num_experts, takes_inputs
from mtmoe.ranges import Count, Positive, Range, Seed, check_fields
from mtmoe.train.alarms import RunFacts
from mtmoe.train.optimizers.interface import Optimizer
from mtmoe.train.step import (
    Schedule,
    StepMemory,
    check_microbatches,
    train_step_builder,
)

# Where and how long a run runs, where its tokens lie, how much damage it bears and what
# it notes down; all else decides its weights. A run may go on in the same folder with
# other values of these.
CHANGEABLE = (
    "train.steps",
    "train.max_epochs",
    "train.layout",
    "train.recompute",
    "train.checkpoint_every",
    "train.keep",
    "train.log_every",
    "Engine.xla_options",
    "Layout.mesh_shape",
    "Layout.layout_rules",
    "token_cache.directories",
    "token_cache.build_up_to_examples",
    "bad_records.quota",
    "bad_examples.quota",
)


RECOMPUTE = ("none", "layers")

Kept = Annotated[int, Range(MINIMUM_KEPT, 2**31 - 1, whole=True)]
"""Checkpoints that stay."""


@gin.configurable("train")
@dataclasses.dataclass(frozen=True)
class TrainingRun:
    """All that decides a training run; gin name `train`.

    Attributes:
      mixture: name of a SeqIO task or mixture.
      model: the model.
      optimizer: turns gradients into updates.
      schedule: learning rate as a function of the step.
      batch_size: rows in a step; a row is one example, or with packing several.
      lengths: tokens of each feature in a batch, `{"inputs": 128, "targets": 48}`; for
        a decoder alone `{"targets": 128}`, which hold an example's inputs too; if it
        is given both they are added up.
      steps: steps of the whole run.
      packing: how short examples share rows; None: each has a row of its own.
      max_epochs: most passes over any task's examples in `steps` steps; more is an
        error before step 1. None: any number.
      seed: seed of initial values, data order, masks and noise.
      initial_checkpoint: folder whose newest checkpoint gives the parameters their
        initial values, the optimizer starting afresh; None: drawn at random.
      layout: the mesh it runs on.
      precision: "float32", "bfloat16_selective" or "bfloat16"; which dtypes these are
        says `mtmoe.mesh.precision`.
      microbatches: parts of the batch that a step computes one after the other, to save
        memory; routing groups are those of the whole batch and must lie within a part.
      recompute: what the backward pass computes again rather than keep, to save memory:
        "none", or "layers" for all but what lies between layers.
      checkpoint_every: steps between checkpoints; there is always one at the end.
      keep: newest checkpoints to keep, at least two.
      log_every: steps between lines of `metrics.jsonl`.

    Raises:
      ConfigError: a number is out of range, `lengths` has other features than the
        model takes, or microbatches would cut through a routing group.
      LayoutError: the layout would cut through a row of a microbatch.
      UnknownNameError: there is no such precision or recomputation.
    """

    mixture: str
    model: Model
    optimizer: Optimizer
    schedule: Schedule
    batch_size: Count
    lengths: dict[str, Count]
    steps: Count
    packing: Packing | None = None
    max_epochs: Positive | None = None
    seed: Seed = 0
    initial_checkpoint: str | None = None
    layout: Layout = dataclasses.field(default_factory=Layout)
    precision: str = "float32"
    microbatches: Count = 1
    recompute: str = "none"
    checkpoint_every: Count = 1000
    keep: Kept = MINIMUM_KEPT
    log_every: Count = 100

    def __post_init__(self) -> None:
        """Checks the ranges and the names."""
        check_fields(self, "train")
        named_precision(self.precision)
        self._check_features()
        if self.recompute not in RECOMPUTE:
            raise UnknownNameError(
                "recomputation", self.recompute, RECOMPUTE, "train.recompute"
            )
        check_microbatches(self.layout, self.batch_size, self.microbatches)
        part = self.batch_size // self.microbatches
        if self.microbatches > 1:
            part //= self.layout.splits(OUTER_BATCH)
        for where, _, length, together in self._routing_groups():
            check_groups_within(part, together, length, where)

    def step_builder(self, num_languages: int) -> Build:
        """Returns the build function of the run's training step.

        Args:
          num_languages: languages to count by, 0 for none.
        """
        return train_step_builder(
            self.model,
            self.optimizer,
            self.schedule,
            num_languages,
            packed=self.packing is not None,
            memory=self.memory,
        )

    @property
    def memory(self) -> StepMemory:
        """How a step saves memory."""
        return StepMemory(self.microbatches, self.recompute == "layers")

    def facts(self) -> RunFacts:
        """What the log's signs of trouble are measured against."""
        return RunFacts(
            self.steps,
            self.model.logits.vocab_size,
            num_experts(self.model),
            starts_trained=self.initial_checkpoint is not None,
        )

    def notices(self) -> list[str]:
        """Returns what its user should know before it begins, a sentence each."""
        notices: list[str] = []
        for where, moe, length, together in self._routing_groups():
            notices += capacity_notices(moe, together * length, where)
        kinds = ((w, together, n) for w, _, n, together in self._routing_groups())
        part = self.batch_size // self.microbatches
        notices += gathering_notices(part, kinds, self.layout)
        return list(dict.fromkeys(notices))

    def _routing_groups(self) -> Iterator[tuple[str, MixtureOfExperts, int, int]]:
        """Yields stack, experts, length of a row and rows a group of all experts."""
        for stack, feature in (
            (self.model.encoder, "inputs"),
            (self.model.decoder, "targets"),
        ):
            if stack is None:
                continue
            length = self.lengths[feature]
            layers = dict.fromkeys(layer for _, layer in stack.expert_layers())
            for layer in layers:
                moe, d_ff = layer.config, layer.expert.d_ff
                together = moe.examples_per_group(self.batch_size, length, d_ff)
                yield stack.name, moe, length, together

    def too_few_rows(self, vocabulary_size: int) -> str:
        """Returns what is wrong if the vocabulary is larger than the embedding."""
        return (
            f"{type(self.model).__name__}.vocab_size is "
            f"{self.model.logits.vocab_size:,}, the "
            f"vocabulary of {self.mixture} has {vocabulary_size:,} tokens; set it to "
            "at least that"
        )

    def _check_features(self) -> None:
        """Checks which lengths there are; a decoder alone has one row for both."""
        if self.model.decoder is None:
            raise ConfigError(
                f"train.model is {type(self.model).__name__}, which has no decoder: it "
                "scores the target of each place at that place, and no objective makes "
                "such targets yet"
            )
        given, both = set(self.lengths), {"inputs", "targets"}
        if not takes_inputs(self.model) and given == both:
            joined = {"targets": sum(self.lengths.values())}
            object.__setattr__(self, "lengths", joined)
            return
        if given == (both if takes_inputs(self.model) else {"targets"}):
            return
        kind = type(self.model).__name__
        if takes_inputs(self.model):
            takes = f"{kind} needs the lengths of 'inputs' and 'targets'"
        else:
            takes = (
                f"{kind} is a decoder alone: give the length of 'targets', which holds "
                "an example's inputs and behind them its targets, or of both, which "
                "are added up"
            )
        raise ConfigError(f"train.lengths is {self.lengths!r}; {takes}")

    def batches(self) -> TrainingBatches:
        """Opens the data of the run; its tasks must be registered.

        Raises:
          MtmoeError: the data cannot be used; see `TrainingBatches`.
        """
        return TrainingBatches(
            self.mixture,
            self.batch_size,
            self.lengths,
            self.seed,
            packing=self.packing,
            max_epochs=self.max_epochs,
            steps=self.steps,
        )


def configured_run() -> TrainingRun:
    """Returns the run that gin's config in force describes."""
    return gin.get_configurable("train")()
