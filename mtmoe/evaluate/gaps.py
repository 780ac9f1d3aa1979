"""What an evaluation leaves out, and why: asked before training and said afterwards.

A member of a mixture that cannot be scored does not keep the others from being scored:
it is left out, with a line that says why, and stands in evaluation.json and the report.
Only what its registration says is asked here; that a split is empty shows when it is
read.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable, Sequence

import seqio

from mtmoe.data.tasks.card import task_card
from mtmoe.data.tasks.reading import asking
from mtmoe.data.tasks.registry import get_task, tasks_of
from mtmoe.errors import ConfigError, CorpusError, MtmoeError, UnknownNameError
from mtmoe.languages import SEVERAL_LANGUAGES, Language, language

TASK, OWN_METRICS = "task", "own metrics"

_SHOWN = 20
_CURE = (
    "Give a source that split (docs/register_a_task.md, 'Held-out text'), name another "
    "one with --split, or score text of your own with --text_dir"
)


@dataclasses.dataclass(frozen=True)
class LeftOut:
    """A task that an evaluation leaves out, or the metrics of its own.

    Attributes:
      task: its name; of a text folder `text_dir/` and the file's name.
      language: the language as its card or file name has it; "" if it names none.
      reason: why, in words.
      what: `TASK` or `OWN_METRICS`.
    """

    task: str
    language: str
    reason: str
    what: str = TASK

    def __str__(self) -> str:
        """Returns it as a line."""
        whose = "" if self.what == TASK else f", {self.what}"
        return f"{self.task}{whose}: {self.reason}"


def evaluation_gaps(mixture: str, split: str) -> list[str]:
    """Returns what an evaluation of a mixture's split will leave out, a sentence each.

    Reads no data: whether a split that a source declares is empty shows later, and of
    a data set of TensorFlow Datasets, which splits it has.

    Raises:
      UnknownNameError: no such mixture.
    """
    tasks = tasks_of(mixture)
    metrics = [gap for task in tasks if (gap := own_metrics_gap(task)) is not None]
    said = []
    if metrics:
        said.append(f"evaluation will not compute:\n  {_listed(metrics)}")
    declared = [t for t in tasks if not isinstance(t.source, seqio.TfdsDataSource)]
    gaps = [gap for task in declared if (gap := gap_of(task, split)) is not None]
    if not gaps:
        return said
    what = f"evaluation will leave out {len(gaps)} of {len(tasks)} tasks of {mixture!r}"
    if len(gaps) == len(tasks):
        what = f"nothing of {mixture!r} can be evaluated"
    return [f"{what}:\n  {_listed(gaps)}\n{_CURE}", *said]


def gap_of(task: seqio.Task, split: str) -> LeftOut | None:
    """Returns why a split of a task cannot be scored, if its registration says so."""
    code = task_card(task).language
    try:
        with asking(task, split):
            splits = tuple(task.splits)
    except CorpusError as error:
        return LeftOut(task.name, code, str(error))
    if split not in splits:
        has = ", ".join(splits) or "none"
        return LeftOut(task.name, code, f"it has no split {split!r}; it has {has}")
    try:
        language_of(task.name)
    except (ConfigError, UnknownNameError) as error:
        return LeftOut(task.name, code, str(error))
    return None


def own_metrics_gap(task: seqio.Task) -> LeftOut | None:
    """Returns which of a supervised task's own metrics no model here can be given."""
    card = task_card(task)
    if card.labels == "self" or not task.predict_with_aux_metric_fns:
        return None
    names = [function.__name__ for function in task.predict_with_aux_metric_fns]
    return LeftOut(
        task.name,
        card.language,
        f"{', '.join(names)} wants aux_values, which no model here gives; give the "
        "task functions of (targets, predictions) or (targets, scores)",
        OWN_METRICS,
    )


def language_of(task_name: str) -> Language:
    """Returns a task's language, `SEVERAL_LANGUAGES` for a supervised task without one.

    Raises:
      ConfigError: a self-supervised task names none.
      UnknownNameError: its card names none that is known.
    """
    card = task_card(get_task(task_name))
    if card.language:
        return language(card.language)
    if card.labels in ("gold", "rule"):
        return SEVERAL_LANGUAGES
    raise ConfigError(
        f"task {task_name!r} names no language, so it has no row in a table of "
        "languages; give its card or its TextSource a language"
    )


def say_left_out(left_out: Sequence[LeftOut]) -> None:
    """Says on standard error what is left out of an evaluation, a line each."""
    if left_out:
        print(f"left out of the evaluation:\n  {_listed(left_out)}", file=sys.stderr)


def nothing_to_score(what: str, left_out: Sequence[LeftOut]) -> MtmoeError:
    """Returns the error that nothing of `what` is left to be scored."""
    return CorpusError(f"{what} has nothing to score:\n  {_listed(left_out)}\n{_CURE}")


def _listed(left_out: Iterable[LeftOut]) -> str:
    lines = [str(gap) for gap in left_out]
    more = len(lines) - _SHOWN
    return "\n  ".join(lines[:_SHOWN] + ([f"and {more} more"] if more > 0 else []))
