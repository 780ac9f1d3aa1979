"""What a training run is, as gin gives it."""

from __future__ import annotations

import dataclasses

import gin

from mtmoe.checkpoint.store import MINIMUM_KEPT
from mtmoe.data.batches import Packing, TrainingBatches
from mtmoe.errors import ConfigError
from mtmoe.mesh.layout import Layout
from mtmoe.model.encoder_decoder import EncoderDecoder
from mtmoe.train.step import Optimizer, Schedule

# Where and how long a run runs, where its tokens lie, how much damage it bears and what
# it notes down; all else decides its weights. A run may go on in the same folder with
# other values of these.
CHANGEABLE = (
    "train.steps",
    "train.max_epochs",
    "train.layout",
    "train.jit_compile",
    "train.checkpoint_every",
    "train.keep",
    "train.log_every",
    "Layout.mesh_shape",
    "Layout.layout_rules",
    "Layout.devices",
    "token_cache.directories",
    "token_cache.build_up_to_examples",
    "bad_records.quota",
)


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
      lengths: tokens of each feature in a batch, `{"inputs": 128, "targets": 48}`.
      steps: steps of the whole run.
      packing: how short examples share rows; None: each has a row of its own.
      max_epochs: most passes over any task's examples in `steps` steps; more is an
        error before step 1. None: any number.
      seed: seed of initial values, data order, masks and noise.
      layout: the mesh it runs on.
      jit_compile: compile the step with XLA, where the mesh has one processor.
      checkpoint_every: steps between checkpoints; there is always one at the end.
      keep: newest checkpoints to keep, at least two.
      log_every: steps between lines of `metrics.jsonl`.

    Raises:
      ConfigError: a number is out of range, or `lengths` has other features.
    """

    mixture: str
    model: EncoderDecoder
    optimizer: Optimizer
    schedule: Schedule
    batch_size: int
    lengths: dict[str, int]
    steps: int
    packing: Packing | None = None
    max_epochs: float | None = None
    seed: int = 0
    layout: Layout = dataclasses.field(default_factory=Layout)
    jit_compile: bool = True
    checkpoint_every: int = 1000
    keep: int = MINIMUM_KEPT
    log_every: int = 100

    def __post_init__(self) -> None:
        """Checks the numbers."""
        at_least = {
            "batch_size": 1,
            "steps": 1,
            "seed": 0,
            "checkpoint_every": 1,
            "keep": MINIMUM_KEPT,
            "log_every": 1,
        }
        for name, smallest in at_least.items():
            if getattr(self, name) < smallest:
                raise ConfigError(
                    f"train.{name} is {getattr(self, name)}, it must be at least "
                    f"{smallest}"
                )
        if set(self.lengths) != {"inputs", "targets"}:
            raise ConfigError(
                "train.lengths must give the lengths of 'inputs' and 'targets', got "
                f"{self.lengths!r}"
            )
        if min(self.lengths.values()) < 1:
            raise ConfigError(f"train.lengths {self.lengths!r} must be positive")
        if self.max_epochs is not None and self.max_epochs <= 0:
            raise ConfigError(
                f"train.max_epochs is {self.max_epochs}, it must be above 0, or None"
            )

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
