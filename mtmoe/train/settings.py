"""What a training run is, as gin gives it."""

from __future__ import annotations

import dataclasses

import gin

from mtmoe.checkpoint.store import MINIMUM_KEPT
from mtmoe.data.batches import Packing, TrainingBatches
from mtmoe.errors import ConfigError, UnknownNameError
from mtmoe.mesh.layout import Layout
from mtmoe.mesh.precision import named_precision
from mtmoe.model.moe.capacity import capacity_notices
from mtmoe.model.transformer import Transformer
from mtmoe.train.optimizers.interface import Optimizer
from mtmoe.train.step import Schedule, StepMemory, check_microbatches

# Where and how long a run runs, where its tokens lie, how much damage it bears and what
# it notes down; all else decides its weights. A run may go on in the same folder with
# other values of these.
CHANGEABLE = (
    "train.steps",
    "train.max_epochs",
    "train.layout",
    "train.jit_compile",
    "train.recompute",
    "train.checkpoint_every",
    "train.keep",
    "train.log_every",
    "Layout.mesh_shape",
    "Layout.layout_rules",
    "Layout.devices",
    "token_cache.directories",
    "token_cache.build_up_to_examples",
    "bad_records.quota",
    "bad_examples.quota",
)


RECOMPUTE = ("none", "layers")


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
        a decoder alone `{"targets": 128}`, which hold an example's inputs too.
      steps: steps of the whole run.
      packing: how short examples share rows; None: each has a row of its own.
      max_epochs: most passes over any task's examples in `steps` steps; more is an
        error before step 1. None: any number.
      seed: seed of initial values, data order, masks and noise.
      initial_checkpoint: folder whose newest checkpoint gives the parameters their
        initial values, the optimizer starting afresh; None: drawn at random.
      layout: the mesh it runs on.
      jit_compile: compile the step with XLA, where the mesh has one processor.
      precision: "float32", "bfloat16_selective" or "bfloat16"; which dtypes these are
        says `mtmoe.mesh.precision`.
      microbatches: parts of the batch that a step computes one after the other, to save
        memory; routing groups lie within a part.
      recompute: what the backward pass computes again rather than keep, to save memory:
        "none", or "layers" for all but what lies between layers.
      checkpoint_every: steps between checkpoints; there is always one at the end.
      keep: newest checkpoints to keep, at least two.
      log_every: steps between lines of `metrics.jsonl`.

    Raises:
      ConfigError: a number is out of range, or `lengths` has other features than the
        model takes.
      LayoutError: the layout would cut through a row of a microbatch.
      UnknownNameError: there is no such precision or recomputation.
    """

    mixture: str
    model: Transformer
    optimizer: Optimizer
    schedule: Schedule
    batch_size: int
    lengths: dict[str, int]
    steps: int
    packing: Packing | None = None
    max_epochs: float | None = None
    seed: int = 0
    initial_checkpoint: str | None = None
    layout: Layout = dataclasses.field(default_factory=Layout)
    jit_compile: bool = True
    precision: str = "float32"
    microbatches: int = 1
    recompute: str = "none"
    checkpoint_every: int = 1000
    keep: int = MINIMUM_KEPT
    log_every: int = 100

    def __post_init__(self) -> None:
        """Checks the numbers and the precision's name."""
        named_precision(self.precision)
        at_least = {
            "batch_size": 1,
            "steps": 1,
            "seed": 0,
            "microbatches": 1,
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
        self._check_features()
        if min(self.lengths.values()) < 1:
            raise ConfigError(f"train.lengths {self.lengths!r} must be positive")
        if self.max_epochs is not None and self.max_epochs <= 0:
            raise ConfigError(
                f"train.max_epochs is {self.max_epochs}, it must be above 0, or None"
            )
        if self.recompute not in RECOMPUTE:
            raise UnknownNameError(
                "recomputation", self.recompute, RECOMPUTE, "train.recompute"
            )
        check_microbatches(self.layout, self.batch_size, self.microbatches)

    @property
    def memory(self) -> StepMemory:
        """How a step saves memory."""
        return StepMemory(self.microbatches, self.recompute == "layers")

    def notices(self) -> list[str]:
        """Returns what its user should know before it begins, a sentence each."""
        notices: list[str] = []
        rows = self.batch_size // self.microbatches
        for stack in self.model.stacks:
            if stack.switch is None or stack.num_layers < stack.switch_every:
                continue
            moe, expert = stack.switch.config, stack.switch.expert
            length = self.lengths["inputs" if stack.name == "encoder" else "targets"]
            together = moe.examples_per_group(rows, length, expert.d_ff, self.layout)
            notices += capacity_notices(moe, together * length, stack.name)
        return notices

    def _check_features(self) -> None:
        wanted = {"inputs", "targets"} if self.model.takes_inputs else {"targets"}
        if set(self.lengths) == wanted:
            return
        kind = type(self.model).__name__
        if self.model.takes_inputs:
            takes = f"{kind} needs the lengths of 'inputs' and 'targets'"
        else:
            takes = (
                f"{kind} is a decoder alone: give the length of 'targets' only, which "
                "holds an example's inputs and behind them its targets"
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
