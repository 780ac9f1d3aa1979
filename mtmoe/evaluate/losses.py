"""The model over all examples of all tasks: one batch shape, one compiled function.

Legend: B batch, E examples, T target length.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mtmoe.data.evaluation.examples import EvaluationExamples, concatenated
from mtmoe.engine.program import MeshProgram
from mtmoe.errors import CheckpointError
from mtmoe.evaluate.examples import TaskExamples
from mtmoe.evaluate.joined_rows import join_rows
from mtmoe.evaluate.progress import BatchProgress
from mtmoe.evaluate.step import evaluation_features, evaluation_step_builder
from mtmoe.model.parts import takes_inputs
from mtmoe.train.settings import TrainingRun


@dataclasses.dataclass(frozen=True)
class TaskOutputs:
    """What the model gave for one task's examples.

    Attributes:
      token_loss: [E, T], cross-entropy of each target in nats, 0 at padding.
      predictions: [E, T], the likeliest token given the true ones before it.
      expert_counts: [layers, experts], tokens by first choice; layers may be 0.
      dropped_counts: [layers], tokens that found their expert full.
    """

    token_loss: NDArray[np.float32]
    predictions: NDArray[np.int32]
    expert_counts: NDArray[np.float64]
    dropped_counts: NDArray[np.float64]


def assign_weights(
    program: MeshProgram, values: Mapping[str, NDArray[np.generic]], where: str
) -> None:
    """Sets a program's variables from a checkpoint, the optimizer's state left out.

    Raises:
      CheckpointError: a variable is missing or of another shape; `where` is named.
    """
    names = program.variable_names()
    missing = [name for name in names if name not in values]
    if missing:
        raise CheckpointError(
            f"{where} is not of the model its config.gin describes: it lacks "
            f"{', '.join(missing[:3])}"
            + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        )
    program.assign({name: values[name] for name in names})


class Scorer:
    """A run's model, ready to score examples; weights come by `load`."""

    def __init__(self, run: TrainingRun):
        """Builds the graph; XLA compiles at the first batch.

        Args:
          run: the run as it was trained; its batch size and layout are used.
        """
        self._program = MeshProgram(run.layout, run.seed, run.precision)
        self._batch_size = run.batch_size
        self._joined_length = (
            None if takes_inputs(run.model) else run.lengths["targets"]
        )
        self._step = self._program.function(
            evaluation_step_builder(run.model, packed=run.packing is not None),
            evaluation_features(run.model, run.lengths, run.batch_size),
            name="evaluation_step",
        )

    def load(self, values: Mapping[str, NDArray[np.generic]], where: str) -> None:
        """Takes the weights of a checkpoint; see `assign_weights`."""
        assign_weights(self._program, values, where)

    def __call__(self, tasks: Sequence[TaskExamples], what: str) -> list[TaskOutputs]:
        """Scores the examples of all tasks.

        Batches mix the tasks in a fixed order; the last is filled up with padding,
        which is never counted.

        Args:
          tasks: what to score.
          what: named by the progress line.
        """
        examples = concatenated([task.examples for task in tasks])
        order_E = mixed_order(len(examples.group))
        starts = range(0, len(order_E), self._batch_size)
        progress = BatchProgress(what, len(starts))
        batches = []
        for i, start in enumerate(starts, start=1):
            rows = order_E[start : start + self._batch_size]
            batches.append(self._run(examples.rows(rows)))
            progress.done(i)
        outputs_E = {
            name: np.concatenate([batch[name] for batch in batches])[
                np.argsort(order_E)
            ]
            for name in batches[0]
        }
        ends = np.cumsum([len(task.examples.targets) for task in tasks])
        return [
            _task_outputs(
                {
                    name: value_E[end - count : end]
                    for name, value_E in outputs_E.items()
                }
            )
            for end, count in zip(
                ends, (len(task.examples.targets) for task in tasks), strict=True
            )
        ]

    def _run(self, examples_B: EvaluationExamples) -> dict[str, NDArray[np.generic]]:
        size = len(examples_B.group)
        padding = ((0, self._batch_size - size), (0, 0))
        joined = None
        features: Mapping[str, NDArray[np.generic]]
        if self._joined_length is None:
            features = {"inputs": examples_B.inputs, "targets": examples_B.targets}
        else:
            joined = join_rows(examples_B, self._joined_length)
            features = joined.features
        padded = {name: np.pad(value, padding) for name, value in features.items()}
        outputs = {
            name: np.asarray(value)[:size]
            for name, value in self._step(0, **padded).items()
        }
        if joined is not None:
            for name in ("token_loss", "predictions"):
                outputs[name] = joined.of_targets(
                    outputs[name], examples_B.targets.shape[1]
                )
        return outputs


def mixed_order(num_examples: int) -> NDArray[np.int64]:
    """Returns a fixed permutation, so that a batch mixes tasks as in training.

    The tokens of one language want the same few experts: a batch of neighbours would
    overflow them and drop what a mixed batch keeps.
    """
    generator = np.random.Generator(np.random.Philox(key=num_examples))
    return generator.permutation(num_examples)


def _task_outputs(outputs_E: Mapping[str, NDArray[np.generic]]) -> TaskOutputs:
    counts = outputs_E.get("expert_counts", np.zeros([1, 0, 0])).astype(np.float64)
    dropped = outputs_E.get("dropped_counts", np.zeros([1, 0])).astype(np.float64)
    return TaskOutputs(
        token_loss=outputs_E["token_loss"].astype(np.float32),
        predictions=outputs_E["predictions"].astype(np.int32),
        expert_counts=counts.sum(axis=0),
        dropped_counts=dropped.sum(axis=0),
    )


def dropped_fraction(outputs: Sequence[TaskOutputs]) -> float | None:
    """Returns dropped tokens over tokens, all layers; None without Switch layers."""
    routed = sum(float(task.expert_counts.sum()) for task in outputs)
    dropped = sum(float(task.dropped_counts.sum()) for task in outputs)
    return dropped / routed if routed else None


def expert_load_max_over_mean(outputs: Sequence[TaskOutputs]) -> float | None:
    """Returns the busiest expert's tokens over the mean, averaged over layers."""
    counts = np.sum([task.expert_counts for task in outputs], axis=0)
    if not counts.size:
        return None
    ratio = float(np.mean(counts.max(axis=1) / counts.mean(axis=1)))
    return None if math.isnan(ratio) else ratio
