"""The model over all examples of all tasks: one batch shape, one compiled function.

Legend: B batch, E examples, T target length.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mtmoe.data.evaluation.examples import concatenated
from mtmoe.engine.program import MeshProgram
from mtmoe.evaluate.batched_model import Arrays, BatchedModel
from mtmoe.evaluate.examples import TaskExamples
from mtmoe.evaluate.joined_rows import JoinedRows, join_rows
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


class Scorer(BatchedModel):
    """A run's model, ready to score examples."""

    def __init__(self, run: TrainingRun):
        """Builds the graph of a run as it was trained, its batch size and layout."""
        self._joined_length = (
            None if takes_inputs(run.model) else run.lengths["targets"]
        )
        super().__init__(
            MeshProgram(run.layout, run.seed, run.precision),
            evaluation_step_builder(run.model, packed=run.packing is not None),
            evaluation_features(run.model, run.lengths, run.batch_size),
            "evaluation_step",
        )

    def __call__(self, tasks: Sequence[TaskExamples], what: str) -> list[TaskOutputs]:
        """Scores the examples of all tasks, mixed; `what` is named by the progress."""
        examples = concatenated([task.examples for task in tasks])
        order_E = mixed_order(len(examples.group))
        length = examples.targets.shape[1]
        joined: JoinedRows | None = None

        def features(rows_B: NDArray[np.int64]) -> Arrays:
            nonlocal joined
            examples_B = examples.rows(rows_B)
            if self._joined_length is None:
                return {"inputs": examples_B.inputs, "targets": examples_B.targets}
            joined = join_rows(examples_B, self._joined_length)
            return joined.features

        batches = []
        for outputs_B in self.outputs(order_E, features, what):
            if joined is not None:
                for name in ("token_loss", "predictions"):
                    outputs_B[name] = joined.of_targets(outputs_B[name], length)
            batches.append(outputs_B)
        place_E = np.argsort(order_E)
        ends = np.cumsum([len(task.examples.targets) for task in tasks])[:-1]
        by_name = {
            name: np.split(np.concatenate([b[name] for b in batches])[place_E], ends)
            for name in batches[0]
        }
        return [
            _task_outputs({name: parts[number] for name, parts in by_name.items()})
            for number in range(len(tasks))
        ]


def mixed_order(num_examples: int) -> NDArray[np.int64]:
    """Returns a fixed permutation, so that a batch mixes tasks as in training.

    The tokens of one language want the same few experts: a batch of neighbours would
    overflow them and drop what a mixed batch keeps.
    """
    generator = np.random.Generator(np.random.Philox(key=num_examples))
    return generator.permutation(num_examples)


def _task_outputs(outputs_E: Arrays) -> TaskOutputs:
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
