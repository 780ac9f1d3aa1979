"""What is evaluated: the tasks of a mixture, or a folder of anyone's own text."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import NamedTuple

import seqio

from mtmoe.data.evaluation.examples import (
    EvaluationExamples,
    evaluation_examples,
    text_examples,
)
from mtmoe.data.evaluation.rows import RowBudget
from mtmoe.data.objectives.language_model import LanguageModel
from mtmoe.data.objectives.objective import TokenObjective
from mtmoe.data.objectives.span_corruption import SpanCorruption
from mtmoe.data.rows.cached import Lengths
from mtmoe.data.tasks.card import task_card
from mtmoe.data.tasks.catalogue import task_group
from mtmoe.data.tasks.form import task_form
from mtmoe.data.tasks.registry import tasks_of
from mtmoe.errors import EmptySplitError
from mtmoe.evaluate.gaps import LeftOut, gap_of, language_of, nothing_to_score
from mtmoe.evaluate.text_folder import read_text_folder
from mtmoe.languages import Language

_TOO_SHORT = (
    "its text is too short to mask a single token of it; give at least a sentence"
)


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How text becomes examples.

    Attributes:
      lengths: `inputs` and `targets` lengths, or `targets` alone, as in training.
      num_noise_samples: maskings of each chunk.
      seed: keys the masks, and the choice of examples.
      max_examples: most examples of a supervised task, chosen by the seed; all if None.
      max_tokens: most tokens of a task, chosen likewise; all if None.
    """

    lengths: Lengths
    num_noise_samples: int
    seed: int
    max_examples: int | None = None
    max_tokens: int | None = None

    @property
    def budget(self) -> RowBudget:
        """How much of a task is read."""
        return RowBudget(self.max_tokens, self.max_examples, self.seed)


@dataclasses.dataclass(frozen=True)
class TaskExamples:
    """The examples of one task, or of one file.

    Attributes:
      task: the task's name, or `text_dir/` and the file's name.
      language: the language of its text.
      examples: what the model is given.
      group: the task's name without its language.
      family: the family of its card.
      labels: `self`, `gold`, `rule` or "", as its card says.
    """

    task: str
    language: Language
    examples: EvaluationExamples
    group: str
    family: str
    labels: str


class ToScore(NamedTuple):
    """What an evaluation scores, by task or by file, and what it leaves out."""

    tasks: tuple[TaskExamples, ...]
    left_out: tuple[LeftOut, ...]


def mixture_examples(mixture: str, split: str, sampling: Sampling) -> ToScore:
    """Returns the examples of every task of a mixture, in the mixture's order.

    A task that cannot be scored is left out.

    Raises:
      UnknownNameError: no such mixture.
      CorpusError: nothing of it can be scored.
    """
    tasks: list[TaskExamples] = []
    left_out: list[LeftOut] = []
    for task in tasks_of(mixture):
        made = gap_of(task, split) or _task_examples(task, split, sampling)
        if isinstance(made, LeftOut):
            left_out.append(made)
        else:
            tasks.append(made)
    if not tasks:
        raise nothing_to_score(f"split {split!r} of {mixture!r}", left_out)
    return ToScore(tuple(tasks), tuple(left_out))


def folder_examples(
    directory: Path,
    objective: TokenObjective,
    vocabulary: seqio.Vocabulary,
    sampling: Sampling,
) -> ToScore:
    """Returns the examples of every `LANG.txt`, masked by `text_objective`.

    Raises:
      CorpusError: the folder or a file of it cannot be used; see `read_text_folder`; or
        none has enough text to mask a token of it.
    """
    tasks: list[TaskExamples] = []
    left_out: list[LeftOut] = []
    for file in read_text_folder(directory):
        name = f"text_dir/{file.file_name}"
        examples = text_examples(
            [file.text],
            sampling.lengths,
            sampling.num_noise_samples,
            sampling.seed,
            objective,
            vocabulary,
            sampling.budget,
        )
        if not examples.target_bytes.any():
            left_out.append(LeftOut(name, file.language.code, _TOO_SHORT))
            continue
        tasks.append(
            TaskExamples(
                name,
                file.language,
                examples,
                group="text_dir",
                family="pretraining",
                labels="self",
            )
        )
    if not tasks:
        raise nothing_to_score(f"--text_dir={directory}", left_out)
    return ToScore(tuple(tasks), tuple(left_out))


def text_objective(mixture: str, takes_inputs: bool) -> tuple[TokenObjective, bool]:
    """Returns what makes examples of text for a model, and whether it was trained so.

    It is the objective of the first task of the mixture that has one. A model trained
    on supervised tasks alone is asked what an untrained one would be: to fill in spans,
    or, where it takes no inputs, to go on.
    """
    for task in tasks_of(mixture):
        objective = task_form(task).objective
        if objective is not None:
            return objective, True
    return (SpanCorruption() if takes_inputs else LanguageModel()), False


def _task_examples(
    task: seqio.Task, split: str, sampling: Sampling
) -> TaskExamples | LeftOut:
    card = task_card(task)
    try:
        examples = evaluation_examples(
            task.name,
            split,
            sampling.lengths,
            sampling.num_noise_samples,
            sampling.seed,
            sampling.budget,
        )
    except EmptySplitError as error:
        return LeftOut(task.name, card.language, str(error))
    if not examples.target_bytes.any():
        return LeftOut(task.name, card.language, _TOO_SHORT)
    return TaskExamples(
        task.name,
        language_of(task.name),
        examples,
        group=task_group(task),
        family=card.family,
        labels=card.labels,
    )
