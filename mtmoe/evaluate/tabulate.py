"""From what the model gave to the rows and facts of an evaluation's files."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtmoe.data.evaluation.text_bytes import TokenKinds
from mtmoe.evaluate.bootstrap import Bootstrap, Interval
from mtmoe.evaluate.examples import TaskExamples
from mtmoe.evaluate.headline import headline_tasks
from mtmoe.evaluate.losses import (
    TaskOutputs,
    dropped_fraction,
    expert_load_max_over_mean,
)
from mtmoe.evaluate.metrics import TaskScore, example_sums, mean_bits_per_byte, score
from mtmoe.evaluate.records import ExpertRow, MetricRow
from mtmoe.evaluate.unigram import UnigramBaselines
from mtmoe.evaluate.unknown import UnknownShare, unknown_lines


def task_scores(
    tasks: Sequence[TaskExamples],
    outputs: Sequence[TaskOutputs],
    baselines: UnigramBaselines,
    kinds: TokenKinds,
    bootstrap: Bootstrap,
) -> dict[str, TaskScore]:
    """Returns the score of every task by name.

    Raises:
      CorpusError: a task's text is too short to mask.
    """
    return {
        task.task: score(
            task.task,
            example_sums(
                task.examples,
                output.token_loss,
                output.predictions,
                kinds,
                baselines.mixture,
                baselines.language(task.language.code),
            ),
            bootstrap,
            may_be_unknown=kinds.unk_id is not None,
        )
        for task, output in zip(tasks, outputs, strict=True)
    }


def unknown_shares(scores: Mapping[str, TaskScore]) -> list[UnknownShare]:
    """Returns how much of each task's text is unknown, where any text may be."""
    return [
        UnknownShare(
            name,
            scored.metrics["unknown_tokens"].value,
            scored.metrics["unknown_bytes"].value,
            scored.num_known,
        )
        for name, scored in scores.items()
        if "unknown_tokens" in scored.metrics
    ]


def metric_rows(
    tasks: Sequence[TaskExamples],
    scores: Mapping[str, TaskScore],
    own_metrics: Mapping[str, Mapping[str, Interval]],
) -> list[MetricRow]:
    """Returns the rows of per_language.csv, by language and task.

    Supervised tasks' own metrics, by task and name, come after the others.
    """
    return [
        MetricRow(
            language=task.language.code,
            name=task.language.name,
            script=task.language.script,
            task=task.task,
            metric=metric,
            value=interval.value,
            ci_low=interval.low,
            ci_high=interval.high,
            num_examples=scores[task.task].num_examples,
            num_bytes=scores[task.task].num_bytes,
            num_tokens=scores[task.task].num_tokens,
        )
        for task in sorted(tasks, key=lambda task: (task.language.code, task.task))
        for metric, interval in (
            *scores[task.task].metrics.items(),
            *own_metrics.get(task.task, {}).items(),
        )
    ]


def expert_rows(
    tasks: Sequence[TaskExamples],
    outputs: Sequence[TaskOutputs],
    layers: Sequence[str],
) -> list[ExpertRow]:
    """Returns the rows of experts.csv, tasks of one language added up."""
    counts: dict[str, NDArray[np.float64]] = {}
    for task, output in zip(tasks, outputs, strict=True):
        code = task.language.code
        counts[code] = counts.get(code, 0) + output.expert_counts
    return [
        ExpertRow(
            language=code,
            layer=layer,
            expert=expert,
            count=round(count),
            share=count / counts[code][i].sum(),
        )
        for i, layer in enumerate(layers)
        for code in sorted(counts)
        for expert, count in enumerate(counts[code][i].tolist())
    ]


def summary_facts(
    tasks: Sequence[TaskExamples],
    outputs: Sequence[TaskOutputs],
    scores: Mapping[str, TaskScore],
    confidence: float,
) -> dict[str, Any]:
    """Returns what evaluation.json says beyond the settings."""
    headline = headline_tasks({task.task: task.labels for task in tasks})
    mean = mean_bits_per_byte({name: scores[name] for name in headline}, confidence)
    shares = unknown_shares(scores)
    return {
        "mean_bits_per_byte": mean.value,
        "mean_bits_per_byte_interval": (
            None if math.isnan(mean.low) else [mean.low, mean.high]
        ),
        "dropped_fraction": dropped_fraction(outputs),
        "expert_load_max_over_mean": expert_load_max_over_mean(outputs),
        "unknown": {
            share.task: {"tokens": share.tokens, "bytes": share.of_bytes}
            for share in shares
        },
        "warnings": unknown_lines(shares),
        "tasks": {
            task.task: {
                "language": task.language.code,
                "num_chunks": scores[task.task].num_groups,
                "dropped_fraction": dropped_fraction([output]),
                "group": task.group,
                "family": task.family,
                "labels": task.labels,
                **_coverage(task),
            }
            for task, output in zip(tasks, outputs, strict=True)
        },
    }


def _coverage(task: TaskExamples) -> dict[str, int | None]:
    coverage = task.examples.coverage
    if coverage is None:
        return {}
    return {"tokens_read": coverage.num_tokens, "tokens_in_split": coverage.of_tokens}
