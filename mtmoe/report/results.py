"""One result a language: what a report says of it, before it is drawn."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from mtmoe.errors import CheckpointError, UnknownNameError
from mtmoe.evaluate.bootstrap import Interval
from mtmoe.evaluate.headline import headline_tasks
from mtmoe.evaluate.records import METRICS, OWN_METRIC, MetricRow
from mtmoe.languages import row_language
from mtmoe.report.folder import ModelFolder

_Key = TypeVar("_Key", bound=Hashable)


@dataclasses.dataclass(frozen=True)
class LanguageResult:
    """One task of one language.

    Attributes:
      language: code of mtmoe.languages.
      name: its English name.
      script: ISO 15924 code.
      family: of the language; the branch of Indo-European ones.
      bits_per_byte: of the masked text, with its interval; then both baselines.
      loss: nats per target token.
      accuracy: of masked text tokens.
      num_examples: masked examples.
      num_bytes: bytes of masked text.
      share: of the training examples, None for a task that was not trained on.
      epochs: times its training text was seen, likewise.
      dropped_fraction: of its tokens, over all Switch layers; None if not recorded.
      group: the task's name without its language.
      task_family: family of the task.
      labels: `self`, `gold`, `rule`, or "" where the task does not say.
      own_metrics: a supervised task's own metrics, by name; empty if not computed.
    """

    language: str
    name: str
    script: str
    family: str
    task: str
    bits_per_byte: Interval
    mixture_unigram_bits_per_byte: float
    language_unigram_bits_per_byte: float
    loss: float
    accuracy: float
    num_examples: int
    num_bytes: int
    share: float | None
    epochs: float | None
    dropped_fraction: float | None
    group: str
    task_family: str
    labels: str
    own_metrics: Mapping[str, float] = dataclasses.field(default_factory=dict)

    @property
    def below_mixture(self) -> bool:
        """Whether the model needs fewer bits than the mixture-wide unigram model."""
        return self.bits_per_byte.value < self.mixture_unigram_bits_per_byte

    @property
    def below_own(self) -> bool:
        """Whether the model needs fewer bits than the language's own unigram model."""
        return self.bits_per_byte.value < self.language_unigram_bits_per_byte


def language_results(folder: ModelFolder) -> tuple[LanguageResult, ...]:
    """Returns one result for each task of the evaluation, in the file's order.

    Raises:
      CheckpointError: a task has not all the metrics.
    """
    by_task: dict[str, dict[str, MetricRow]] = {}
    for row in folder.metric_rows:
        by_task.setdefault(row.task, {})[row.metric] = row
    mixture = folder.provenance.get("mixture", {})
    details = folder.evaluation["tasks"]
    results = []
    for task, rows in by_task.items():
        missing = [metric for metric in METRICS if metric not in rows]
        if missing:
            raise CheckpointError(
                f"per_language.csv of step {folder.step} has no {', '.join(missing)} "
                f"for {task}; make it again with: mtmoe evaluate"
            )
        results.append(_result(rows, mixture.get(task, {}), details.get(task, {})))
    return tuple(results)


def _result(
    rows: Mapping[str, MetricRow], trained: Mapping[str, Any], detail: Mapping[str, Any]
) -> LanguageResult:
    bits = rows["bits_per_byte"]
    return LanguageResult(
        language=bits.language,
        name=bits.name,
        script=bits.script,
        family=row_language(bits.language).family,
        task=bits.task,
        bits_per_byte=Interval(bits.value, bits.ci_low, bits.ci_high),
        mixture_unigram_bits_per_byte=rows["mixture_unigram_bits_per_byte"].value,
        language_unigram_bits_per_byte=rows["language_unigram_bits_per_byte"].value,
        loss=rows["loss"].value,
        accuracy=rows["accuracy"].value,
        num_examples=bits.num_examples,
        num_bytes=bits.num_bytes,
        share=trained.get("share"),
        epochs=trained.get("epochs"),
        dropped_fraction=detail.get("dropped_fraction"),
        group=detail.get("group", bits.task),
        task_family=detail.get("family", ""),
        labels=detail.get("labels", ""),
        own_metrics={
            metric.removeprefix(OWN_METRIC): row.value
            for metric, row in rows.items()
            if metric.startswith(OWN_METRIC)
        },
    )


def language_name(code: str) -> str:
    """Returns a language's English name, or its code where it has none."""
    try:
        return row_language(code).name
    except UnknownNameError:  # a task card may have any tag
        return code


def headline_results(results: Sequence[LanguageResult]) -> list[LanguageResult]:
    """Returns the results behind the headline numbers: one kind of labels."""
    chosen = set(headline_tasks({result.task: result.labels for result in results}))
    return [result for result in results if result.task in chosen]


def means(pairs: Iterable[tuple[_Key, float]]) -> dict[_Key, float]:
    """Returns the mean of the values of each key, in the order of first occurrence."""
    values: dict[_Key, list[float]] = {}
    for key, value in pairs:
        values.setdefault(key, []).append(value)
    return {key: sum(listed) / len(listed) for key, listed in values.items()}
