"""Checks a supervised or self-supervised task end to end on a few of its examples."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import seqio

from mtmoe.data.metrics.scale import perfect_score
from mtmoe.data.objectives.language_model import LanguageModel
from mtmoe.data.reading import examples_in_order
from mtmoe.data.task_form import check_split, task_form
from mtmoe.errors import CorpusError

_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Verification:
    """What a check of one split found.

    Attributes:
      task: the task's name.
      split: the split that was read.
      num_examples: examples looked at.
      inputs_lengths: (mean, greatest) number of input tokens, untrimmed.
      targets_lengths: the same of targets.
      scores: each metric, with the targets themselves as predictions.
      problems: what is wrong, in words; empty if nothing is.
    """

    task: str
    split: str
    num_examples: int
    inputs_lengths: tuple[float, int]
    targets_lengths: tuple[float, int]
    scores: Mapping[str, float]
    problems: tuple[str, ...]


def verify_task(
    task: seqio.Task,
    split: str,
    num_examples: int = 50,
    lengths: Mapping[str, int] | None = None,
) -> Verification:
    """Runs a task's own SeqIO pipeline and looks at what comes out.

    Problems are: a split without examples, empty inputs or targets, targets longer than
    their place in a batch, a token outside the vocabulary, and a metric that is not
    perfect when the targets are the predictions. A language model's inputs are empty.

    Args:
      task: any task with the features `inputs` and `targets`.
      split: split to read.
      num_examples: how many examples to look at, from the first.
      lengths: `inputs` and `targets` lengths of a batch. Needed by self-supervised
        tasks; targets of others are held against it if it is given.

    Raises:
      UnknownNameError: the task has no such split.
      CorpusError: the data cannot be read.
    """
    check_split(task, split)
    self_supervised = not task.metric_fns
    found = examples_in_order(
        task, split, lengths if self_supervised else None, trim=False
    )
    examples = list(itertools.islice(found, num_examples))
    if not examples:
        raise CorpusError(f"task {task.name!r} has no examples in split {split!r}")
    sizes = {
        name: [len(example[name]) for example in examples]
        for name in ("inputs", "targets")
    }
    scores = _scores(task, examples)
    problems = [
        *_empty(task, examples),
        *_too_long(sizes["targets"], lengths),
        *_outside_vocabulary(task, examples),
        *_imperfect(scores),
    ]
    return Verification(
        task=task.name,
        split=split,
        num_examples=len(examples),
        inputs_lengths=_mean_and_max(sizes["inputs"]),
        targets_lengths=_mean_and_max(sizes["targets"]),
        scores=scores,
        problems=tuple(problems),
    )


def _scores(
    task: seqio.Task, examples: Sequence[Mapping[str, Any]]
) -> dict[str, float]:
    vocabulary = task.output_features["targets"].vocabulary
    targets, predictions = [], []
    for example in examples:
        text = vocabulary.decode([int(token) for token in example["targets"]])
        targets.append(task.postprocess_fn(text, example=example, is_target=True))
        predictions.append(task.postprocess_fn(text, example=example, is_target=False))
    scores: dict[str, float] = {}
    for metric in task.predict_metric_fns:
        for name, value in metric(targets, predictions).items():
            scores[name] = float(getattr(value, "value", value))
    return scores


def _empty(task: seqio.Task, examples: Sequence[Mapping[str, Any]]) -> list[str]:
    eos_id = task.output_features["targets"].vocabulary.eos_id
    problems = []
    for feature in ("targets",) if _is_language_model(task) else ("inputs", "targets"):
        empty = [
            number
            for number, example in enumerate(examples)
            if not any(token not in (0, eos_id) for token in example[feature])
        ]
        if empty:
            problems.append(
                f"{feature} are empty in {len(empty)} of {len(examples)} examples, "
                f"first in number {empty[0]}"
            )
    return problems


def _is_language_model(task: seqio.Task) -> bool:
    """Whether a task's inputs are the end mark alone, by its objective."""
    return isinstance(task_form(task).objective, LanguageModel)


def _too_long(sizes: Sequence[int], lengths: Mapping[str, int] | None) -> list[str]:
    if lengths is None:
        return []
    room = lengths["targets"]
    too_long = [size for size in sizes if size > room]
    if not too_long:
        return []
    return [
        f"targets of {len(too_long)} of {len(sizes)} examples are longer than {room} "
        f"tokens and would be cut; the longest has {max(too_long)}"
    ]


def _outside_vocabulary(
    task: seqio.Task, examples: Sequence[Mapping[str, Any]]
) -> list[str]:
    problems = []
    for feature in ("inputs", "targets"):
        size = task.output_features[feature].vocabulary.vocab_size
        largest = max(
            (int(token) for example in examples for token in example[feature]),
            default=0,
        )
        if largest >= size:
            problems.append(f"{feature} have token {largest}, the vocabulary {size}")
    return problems


def _imperfect(scores: Mapping[str, float]) -> list[str]:
    return [
        f"{name} is {value:g} when the targets are the predictions; "
        f"it should be {perfect_score(name):g}"
        for name, value in scores.items()
        if not math.isclose(value, perfect_score(name), abs_tol=_TOLERANCE)
    ]


def _mean_and_max(sizes: Sequence[int]) -> tuple[float, int]:
    return sum(sizes) / len(sizes), max(sizes)
