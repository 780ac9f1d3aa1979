"""Checks a supervised or self-supervised task end to end on its examples."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import seqio

from mtmoe.data.ground.user_code import metric_values, postprocessed
from mtmoe.data.metrics.scale import perfect_score
from mtmoe.data.objectives.language_model import LanguageModel
from mtmoe.data.sources.joined import JoinedSource
from mtmoe.data.sources.pairs import PairSource
from mtmoe.data.sources.web.source import WebTextSource
from mtmoe.data.tasks.card import task_card
from mtmoe.data.tasks.form import check_split, task_form
from mtmoe.data.tasks.reading import examples_in_order, is_pairs, num_left_out
from mtmoe.errors import CorpusError, nearest_names

_TOLERANCE = 1e-3
_SAMPLE = 50  # examples of a source that is not on this machine
_SCORED = 1000  # examples that metrics are tried on
_TOLD_EVERY = 500  # examples

FEATURES = ("inputs", "targets")


@dataclass(frozen=True)
class Verification:
    """What a check of one split found.

    Attributes:
      task: the task's name.
      split: the split that was read.
      num_examples: examples looked at.
      is_whole: whether these are all.
      num_available: examples of the source, if it is not read whole; None if unknown.
      num_left_out: bad examples that the source leaves out (`bad_examples.quota`).
      inputs_lengths: (mean, greatest) number of input tokens, untrimmed.
      targets_lengths: the same of targets.
      scores: each metric, with the targets themselves as predictions.
      num_scored: examples that the metrics were computed on, the first ones.
      problems: what is wrong, in words; empty if nothing is.
    """

    task: str
    split: str
    num_examples: int
    is_whole: bool
    num_available: int | None
    num_left_out: int
    inputs_lengths: tuple[float, int]
    targets_lengths: tuple[float, int]
    scores: Mapping[str, float]
    num_scored: int
    problems: tuple[str, ...]


def verify_task(
    task: seqio.Task,
    split: str,
    num_examples: int | None = None,
    lengths: Mapping[str, int] | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Verification:
    """Runs a task's own SeqIO pipeline and looks at what comes out.

    Problems are: a split without examples, empty inputs or targets, targets longer than
    their place in a batch, a token outside the vocabulary, a metric that is not perfect
    when the targets are the predictions, and one that the task's card does not name. A
    language model's inputs are empty. Examples are not held together, but for the text
    of those that the metrics are tried on, the first thousand.

    Args:
      task: any task with the features `inputs` and `targets`.
      split: split to read.
      num_examples: how many examples to look at, from the first; if None all, but 50
        where the source is not on this machine, or is web text.
      lengths: `inputs` and `targets` lengths of a batch. Needed by self-supervised
        tasks; if given, the targets of others are compared with it.
      on_progress: is called now and then with the examples looked at so far.

    Raises:
      UnknownNameError: the task has no such split.
      CorpusError: the data cannot be read, or there is none.
      UserCodeError: a step, the postprocessor or a metric raised something.
    """
    check_split(task, split)
    limit = num_examples
    if limit is None and not _is_at_hand(task.source):
        limit = _SAMPLE
    self_supervised = not task.metric_fns
    found = examples_in_order(
        task, split, lengths if self_supervised else None, trim=False
    )
    seen = _Seen(task, split, lengths)
    for example in itertools.islice(found, limit):
        seen.add(example)
        if on_progress and seen.count % _TOLD_EVERY == 0:
            on_progress(seen.count)
    if not seen.count:
        raise CorpusError(f"task {task.name!r} has no examples in split {split!r}")
    is_whole = limit is None or next(found, None) is None
    scores = seen.scores()
    return Verification(
        task=task.name,
        split=split,
        num_examples=seen.count,
        is_whole=is_whole,
        num_available=None if is_whole else _num_available(task, split),
        num_left_out=num_left_out(task.source, split),
        inputs_lengths=seen.lengths("inputs"),
        targets_lengths=seen.lengths("targets"),
        scores=scores,
        num_scored=len(seen.targets),
        problems=(
            *seen.problems(),
            *_imperfect(scores),
            *_unknown_to_card(task, scores),
        ),
    )


class _Seen:
    """What was seen of a split, example after example.

    Attributes:
      count: examples so far.
      targets: what the metrics compare, of the first examples.
      predictions: the same text as a prediction.
    """

    def __init__(self, task: seqio.Task, split: str, lengths: Mapping[str, int] | None):
        self.count = 0
        self.targets: list[Any] = []
        self.predictions: list[Any] = []
        self._task = task
        self._split = split
        self._room = None if lengths is None else lengths["targets"]
        self._must_not_be_empty = ("targets",) if _is_language_model(task) else FEATURES
        self._flaws: Counter[str] = Counter()
        self._first: dict[str, int] = {}  # number, from 0, of the first that has a flaw
        self._num_tokens, self._longest, self._largest = (
            dict.fromkeys(FEATURES, 0) for _ in range(3)
        )

    def add(self, example: Mapping[str, Any]) -> None:
        """Looks at the next example."""
        for name in FEATURES:
            tokens = np.asarray(example.get(name, ()))
            self._num_tokens[name] += len(tokens)
            self._longest[name] = max(self._longest[name], len(tokens))
            self._largest[name] = max(self._largest[name], int(tokens.max(initial=0)))
            if name in self._must_not_be_empty and self._is_empty(example, name):
                self._note(f"{name} are empty")
        if self._room is not None and len(example["targets"]) > self._room:
            self._note("targets are too long")
        if self._task.metric_fns and len(self.targets) < _SCORED:
            vocabulary = self._task.output_features["targets"].vocabulary
            text = vocabulary.decode([int(token) for token in example["targets"]])
            self.targets.append(postprocessed(self._task, text, example, True))
            self.predictions.append(postprocessed(self._task, text, example, False))
        self.count += 1

    def lengths(self, name: str) -> tuple[float, int]:
        """Returns the mean and the greatest number of a feature's tokens."""
        return self._num_tokens[name] / self.count, self._longest[name]

    def scores(self) -> dict[str, float]:
        """Returns what the metrics give where the targets are the predictions."""
        scores: dict[str, float] = {}
        for metric in self._task.predict_metric_fns:
            scores |= metric_values(
                self._task.name, metric, self.targets, self.predictions
            )
        return scores

    def problems(self) -> Iterator[str]:
        """Yields what is wrong with the examples, in words."""
        for name in FEATURES:
            if count := self._flaws[f"{name} are empty"]:
                where = self._place(self._first[f"{name} are empty"])
                yield (
                    f"{name} are empty in {count:,} of {self.count:,} examples, first "
                    f"in {where}"
                )
        if count := self._flaws["targets are too long"]:
            yield (
                f"targets of {count:,} of {self.count:,} examples are longer than "
                f"{self._room} tokens and would be cut; the longest has "
                f"{self._longest['targets']}"
            )
        for name, largest in self._largest.items():
            size = self._task.output_features[name].vocabulary.vocab_size
            if largest >= size:
                yield f"{name} have token {largest}, the vocabulary {size}"

    def _is_empty(self, example: Mapping[str, Any], name: str) -> bool:
        text = example.get(f"{name}_pretokenized")
        if isinstance(text, bytes):
            return not text.strip()
        tokens = np.asarray(example[name])
        eos_id = self._task.output_features["targets"].vocabulary.eos_id
        return not np.any((tokens != 0) & (tokens != eos_id))

    def _note(self, flaw: str) -> None:
        self._first.setdefault(flaw, self.count)
        self._flaws[flaw] += 1

    def _place(self, number: int) -> str:
        if is_pairs(self._task):  # no step makes others of them
            return str(self._task.source.place(self._split, number))
        return f"example {number + 1:,}"


def _is_at_hand(source: seqio.DataSource) -> bool:
    """Whether all of a source can be read without asking for much."""
    if isinstance(source, JoinedSource):
        return all(_is_at_hand(part.source) for part in source.parts)
    if isinstance(source, seqio.FileDataSource):
        patterns = source._split_to_filepattern.values()
        return not any("://" in str(pattern) for pattern in patterns)
    return not isinstance(source, seqio.TfdsDataSource | WebTextSource)


def _num_available(task: seqio.Task, split: str) -> int | None:
    """Returns the examples of a source that can tell, where each makes one."""
    source = task.source
    if not isinstance(source, PairSource | seqio.TfdsDataSource):
        return None
    try:
        count = source.num_input_examples(split)
    except KeyError:  # TensorFlow Datasets keeps no counts of it here
        return None
    return None if count is None else int(count)


def _is_language_model(task: seqio.Task) -> bool:
    """Whether a task's inputs are the end mark alone, by its objective."""
    return isinstance(task_form(task).objective, LanguageModel)


def _imperfect(scores: Mapping[str, float]) -> list[str]:
    return [
        f"{name} is {value:g} when the targets are the predictions; "
        f"it should be {perfect_score(name):g}"
        for name, value in scores.items()
        if not math.isclose(value, perfect_score(name), abs_tol=_TOLERANCE)
    ]


def _unknown_to_card(task: seqio.Task, scores: Mapping[str, float]) -> list[str]:
    """Compares what the metrics give with what the card says they give, if it does."""
    named = task_card(task).metrics
    unknown = [name for name in scores if name not in named]
    if not named or not unknown:
        return []
    said = [name for name in named if name not in scores]
    nearest = nearest_names(unknown[0], said)
    return [
        f"the metrics give {', '.join(unknown)}, which the card does not name; "
        f"it names {', '.join(named)}"
        + (f" (is {nearest[0]} misspelt?)" if nearest else "")
    ]
