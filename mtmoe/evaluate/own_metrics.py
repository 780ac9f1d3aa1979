"""Supervised tasks' own metrics, from what a model writes.

A task's metric functions and postprocessor are called as SeqIO's evaluator calls them:
decoded predictions (or, for functions of targets and scores, log-likelihoods of the
targets) beside the targets' own text. Their values are on the scale of the metric, 0 to
100 for those that come with mtmoe.

Legend: E examples, L inputs length, T targets length.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import seqio
from numpy.typing import NDArray

from mtmoe.data.ground.token_rows import padded_sizes
from mtmoe.data.ground.user_code import metric_values, postprocessed
from mtmoe.data.sources.pairs import PairSource
from mtmoe.data.tasks.form import EXAMPLES, task_form
from mtmoe.data.tasks.reading import examples_in_order
from mtmoe.data.tasks.registry import get_task
from mtmoe.errors import CorpusError, MtmoeError
from mtmoe.evaluate.bootstrap import Bootstrap, Interval, Resamples
from mtmoe.evaluate.examples import TaskExamples
from mtmoe.evaluate.generation import Generator, Ids, TargetScorer
from mtmoe.evaluate.records import OWN_METRIC
from mtmoe.model.decoding.strategies import Strategy
from mtmoe.model.parts import takes_inputs
from mtmoe.train.settings import TrainingRun

Record = Mapping[str, Any]
"""An example as a task's pipeline gives it: tokens, text and whatever else there is."""


class OwnMetrics:
    """A model's writing held against supervised tasks; weights come by `load`."""

    def __init__(
        self,
        run: TrainingRun,
        strategy: Strategy,
        tasks: Sequence[TaskExamples],
        split: str,
        bootstrap: Bootstrap,
    ):
        """Reads the examples, and builds a graph for each kind of metric there is.

        Tasks without metrics of their own are left out; the examples are of `split`.

        Raises:
          CorpusError: a task cannot be read as its examples were.
        """
        self._tasks = [task for task in tasks if has_own_metrics(task)]
        self._records = [task_records(task, split) for task in self._tasks]
        self._bootstrap = bootstrap
        self._generator: Generator | None = None
        self._scorer: TargetScorer | None = None
        lengths = None if takes_inputs(run.model) else _measured(self._tasks)
        registered = [get_task(task.task) for task in self._tasks]
        if any(task.predict_metric_fns for task in registered):
            eos_id = registered[0].output_features["targets"].vocabulary.eos_id
            self._generator = Generator(run, strategy, eos_id, lengths=lengths)
        if any(task.score_metric_fns for task in registered):
            self._scorer = TargetScorer(run, lengths)

    def load(self, values: Mapping[str, NDArray[np.generic]], where: str) -> None:
        """Takes the weights of a checkpoint."""
        for model in (self._generator, self._scorer):
            if model is not None:
                model.load(values, where)

    def __call__(self, what: str) -> dict[str, dict[str, Interval]]:
        """Returns each task's metrics by name, with `OWN_METRIC` before it."""
        predictions: dict[str, NDArray[Any]] = {}
        scores: dict[str, NDArray[Any]] = {}
        if generator := self._generator:
            predictions = self._by_task(
                "predict_metric_fns",
                lambda inputs, targets, keys: generator(
                    inputs, keys.tolist(), f"{what}, decoding"
                ),
            )
        if scorer := self._scorer:
            scores = self._by_task(
                "score_metric_fns",
                lambda inputs, targets, keys: scorer(
                    inputs, targets, f"{what}, ranking"
                ),
            )
        return {
            task.task: task_metrics(
                get_task(task.task),
                records,
                predictions.get(task.task),
                scores.get(task.task),
                self._bootstrap.resamples(task.task, task.examples.group),
            )
            for task, records in zip(self._tasks, self._records, strict=True)
        }

    def _by_task(
        self, functions: str, run: Callable[..., NDArray[Any]]
    ) -> dict[str, NDArray[Any]]:
        """Runs the model over the examples of all tasks that have such functions."""
        tasks = [t for t in self._tasks if getattr(get_task(t.task), functions)]
        inputs, targets, keys = (
            np.concatenate([getattr(task.examples, name) for task in tasks])
            for name in ("inputs", "targets", "group")
        )
        ends = np.cumsum([len(task.examples.group) for task in tasks])[:-1]
        parts = np.split(run(inputs, targets, keys), ends)
        return {task.task: part for task, part in zip(tasks, parts, strict=True)}


def has_own_metrics(task: TaskExamples) -> bool:
    """Whether a task is supervised and has metrics of predictions or scores."""
    if task.labels == "self":
        return False
    registered = get_task(task.task)
    return bool(registered.predict_metric_fns or registered.score_metric_fns)


def task_metrics(
    task: seqio.Task,
    records: Sequence[Record],
    tokens_ET: Ids | None,
    scores_E: NDArray[np.float64] | None,
    resamples: Resamples,
) -> dict[str, Interval]:
    """Computes a task's metrics, in the order of its functions.

    Args:
      task: the task.
      records: its examples.
      tokens_ET: what was decoded for each; None if no function asks for it.
      scores_E: log-likelihood of each target; None likewise.
      resamples: of the examples, for the intervals of metrics that are means.

    Returns:
      By name with `OWN_METRIC`; no interval where a metric is no mean over examples.

    Raises:
      UserCodeError: a metric or the postprocessor raised something, or a metric gave no
        dict of names and numbers.
    """
    vocabulary = task.output_features["targets"].vocabulary
    targets = [
        postprocessed(task, _target_text(record, vocabulary), record, is_target=True)
        for record in records
    ]
    metrics: dict[str, Interval] = {}
    if tokens_ET is not None:
        predictions = [
            postprocessed(task, vocabulary.decode(tokens_T), record, is_target=False)
            for tokens_T, record in zip(tokens_ET.tolist(), records, strict=True)
        ]
        for function in task.predict_metric_fns:
            metrics |= _values(task, function, targets, predictions, resamples)
    if scores_E is not None:
        for function in task.score_metric_fns:
            metrics |= _values(task, function, targets, scores_E.tolist(), resamples)
    return metrics


def task_records(task: TaskExamples, split: str) -> list[Record]:
    """Reads the examples behind those to evaluate, with all their fields.

    Raises:
      CorpusError: they are not those that were encoded.
    """
    registered = get_task(task.task)
    source, form = registered.source, task_form(registered)
    numbers = task.examples.group.tolist()
    plain = form.offline == (seqio.preprocessors.tokenize,)
    if isinstance(source, PairSource) and form.kind == EXAMPLES and plain:
        all_pairs = source.examples(split)
        records = [
            _pair_record(all_pairs[number], registered)
            if number < len(all_pairs)
            else {}
            for number in numbers
        ]
    else:
        wanted = set(numbers)
        in_order = examples_in_order(registered, split, None, trim=False)
        kept = {
            number: record
            for number, record in enumerate(itertools.islice(in_order, max(wanted) + 1))
            if number in wanted
        }
        records = [kept.get(number, {}) for number in numbers]
    for record, targets_T in zip(records, task.examples.targets, strict=True):
        _check_same(task.task, record, targets_T)
    return records


def _pair_record(pair: Mapping[str, Any], task: seqio.Task) -> Record:
    """What SeqIO's steps make of a pair, without a tf.data pipeline."""
    record: dict[str, Any] = {
        name: np.array([text.encode() for text in value], object)
        if not isinstance(value, str)
        else value.encode()
        for name, value in pair.items()
    }
    for name in ("inputs", "targets"):
        record[f"{name}_pretokenized"] = record[name]
        vocabulary = task.output_features[name].vocabulary
        record[name] = np.asarray(vocabulary.encode(pair[name]), np.int32)
    return record


def _check_same(task: str, record: Record, targets_T: Ids) -> None:
    """Compares a record's tokens with those that are evaluated, trimmed and ended."""
    given = targets_T[: int(padded_sizes(targets_T))][:-1]  # the last is the end mark
    if "targets" not in record or not np.array_equal(
        np.asarray(record["targets"])[: len(given)], given
    ):
        raise CorpusError(
            f"task {task!r}: its source gives other examples than its token cache has; "
            "cache it anew with: mtmoe cache"
        )


def _target_text(record: Record, vocabulary: seqio.Vocabulary) -> str:
    text = record.get("targets_pretokenized")
    if text is None:
        return str(vocabulary.decode([int(token) for token in record["targets"]]))
    return text.decode("utf-8") if isinstance(text, bytes) else str(text)


def _values(
    task: seqio.Task,
    function: Callable[..., Mapping[str, Any]],
    targets: Sequence[Any],
    answers: Sequence[Any],
    resamples: Resamples,
) -> dict[str, Interval]:
    """Calls a metric function, on all examples and on each alone."""
    overall = metric_values(task.name, function, targets, answers)
    alone = _one_by_one(task.name, function, targets, answers)
    values = {}
    for name, value in overall.items():
        by_example_E = np.array([numbers.get(name, math.nan) for numbers in alone])
        is_mean = len(by_example_E) == len(targets) and np.isclose(
            by_example_E.mean(), value, rtol=1e-6, atol=1e-6
        )
        interval = Interval(value, math.nan, math.nan)
        if is_mean and resamples.num_groups > 1:
            interval = resamples.ratio(by_example_E, np.ones(len(by_example_E)))
        values[OWN_METRIC + name] = interval
    return values


def _one_by_one(
    task: str,
    function: Callable[..., Mapping[str, Any]],
    targets: Sequence[Any],
    answers: Sequence[Any],
) -> list[dict[str, float]]:
    """What a metric is on each example alone; empty where one alone has none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # undefined for one example: no mean then
        try:
            return [
                metric_values(task, function, [target], [answer])
                for target, answer in zip(targets, answers, strict=True)
            ]
        except MtmoeError:
            return []


def _measured(tasks: Sequence[TaskExamples]) -> dict[str, int]:
    """The longest inputs and targets: all that a decoder alone has to have room for."""
    return {
        name: max((_longest(getattr(task.examples, name)) for task in tasks), default=1)
        for name in ("inputs", "targets")
    }


def _longest(tokens: Ids) -> int:
    return max(1, int(np.max(np.flatnonzero((tokens != 0).any(axis=0)), initial=0)) + 1)
