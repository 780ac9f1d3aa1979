"""What is evaluated: the tasks of a mixture, or a folder of anyone's own text."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import seqio
from numpy.typing import NDArray

from mtmoe.data.catalogue import task_group
from mtmoe.data.evaluation_examples import (
    EvaluationExamples,
    evaluation_examples,
    text_examples,
)
from mtmoe.data.mixing.rates import mean_rates
from mtmoe.data.registry import (
    get_task,
    tasks_of,
)
from mtmoe.data.task_card import task_card
from mtmoe.data.task_form import STREAM, TEXT, task_form
from mtmoe.data.task_rows import Lengths, TextRows, open_task_rows
from mtmoe.data.token_cache.writer import uncached_examples
from mtmoe.errors import ConfigError
from mtmoe.evaluate.headline import headline_tasks
from mtmoe.evaluate.text_folder import read_text_folder
from mtmoe.evaluate.unigram import UnigramBaselines, fit_unigrams
from mtmoe.languages import SEVERAL_LANGUAGES, Language, language

_ROWS_COUNTED_TOGETHER = 4096


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How text becomes examples.

    Attributes:
      lengths: `inputs` and `targets` lengths, or `targets` alone, as in training.
      num_noise_samples: maskings of each chunk.
      seed: keys the masks, and the choice of examples.
      max_examples: most examples of a supervised task, chosen by the seed; all if None.
    """

    lengths: Lengths
    num_noise_samples: int
    seed: int
    max_examples: int | None = None


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


def mixture_examples(
    mixture: str, split: str, sampling: Sampling
) -> tuple[TaskExamples, ...]:
    """Returns the examples of every task of a mixture, in the mixture's order.

    Raises:
      UnknownNameError: no such mixture or split.
      ConfigError: a task names no language.
      CorpusError: a task has no held-out text.
    """
    return tuple(_task_examples(task, split, sampling) for task in tasks_of(mixture))


def folder_examples(
    directory: Path, trained_mixture: str, sampling: Sampling
) -> tuple[TaskExamples, ...]:
    """Returns the examples of every `LANG.txt`, masked as in training.

    Raises:
      CorpusError: the folder or a file of it cannot be used; see `read_text_folder`.
      ConfigError: the model was not trained on a task that masks text.
    """
    task = tasks_of(trained_mixture)[0]
    objective = task_form(task).objective
    if objective is None:
        raise ConfigError(
            f"--text_dir needs a model trained to fill in masked text; {task.name!r} "
            "is of another kind"
        )
    return tuple(
        TaskExamples(
            f"text_dir/{file.file_name}",
            file.language,
            text_examples(
                [file.text],
                sampling.lengths,
                sampling.num_noise_samples,
                sampling.seed,
                objective,
                task.output_features["targets"].vocabulary,
            ),
            group="text_dir",
            family="pretraining",
            labels="self",
        )
        for file in read_text_folder(directory)
    )


def training_baselines(
    mixture: str, steps: int, lengths: Lengths, is_text_V: NDArray[np.bool_]
) -> UnigramBaselines:
    """Fits the unigram baselines on what a mixture trains on, by language.

    They are fitted on its self-supervised tasks, on all tasks if it has none.

    Args:
      mixture: the mixture the model was trained on.
      steps: steps of its training, over which a staged mixture's rates are averaged.
      lengths: `inputs` and `targets` lengths, or `targets` alone, as in training.
      is_text_V: tokens that stand for text.

    Raises:
      CorpusError: a task has no training text.
      ConfigError: a task names no language.
    """
    counts_V: dict[str, NDArray[np.int64]] = {}
    rates: dict[str, float] = {}
    all_rates = mean_rates(mixture, steps)
    for name in headline_tasks({n: task_card(get_task(n)).labels for n in all_rates}):
        rate = all_rates[name]
        code = language_of(name).code
        counted_V = _target_counts(get_task(name), lengths, len(is_text_V))
        counts_V[code] = counts_V.get(code, 0) + counted_V
        rates[code] = rates.get(code, 0.0) + rate
    return fit_unigrams(counts_V, rates, is_text_V)


def language_of(task_name: str) -> Language:
    """Returns a task's language, `SEVERAL_LANGUAGES` for a supervised task without one.

    Raises:
      ConfigError: a self-supervised task names none.
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


def _target_counts(
    task: seqio.Task, lengths: Lengths, vocab_size: int
) -> NDArray[np.int64]:
    """Counts the tokens of a task's text, or of its examples' targets."""
    counts_V = np.zeros(vocab_size, np.int64)
    rows = open_task_rows(task, "train", lengths)
    if rows is not None:
        for first in range(0, rows.num_rows, _ROWS_COUNTED_TOGETHER):
            end = min(first + _ROWS_COUNTED_TOGETHER, rows.num_rows)
            raw = rows.read(np.arange(first, end))
            if isinstance(rows, TextRows):
                tokens = raw.features[0].tokens
            else:
                keys = np.zeros(end - first, np.uint64)  # nothing of it is random
                tokens = rows.recipe.make(raw, keys).targets.tokens
            counts_V += np.bincount(tokens, minlength=vocab_size)
    elif task_form(task).kind == STREAM:
        targets = evaluation_examples(task.name, "train", lengths).targets
        counts_V += np.bincount(targets[targets != 0], minlength=vocab_size)
    else:
        for example in uncached_examples(task, "train"):
            np.add.at(counts_V, example[-1], 1)
    return counts_V


def _task_examples(task: seqio.Task, split: str, sampling: Sampling) -> TaskExamples:
    examples = evaluation_examples(
        task.name,
        split,
        sampling.lengths,
        sampling.num_noise_samples,
        sampling.seed,
    )
    if task_form(task).kind != TEXT and sampling.max_examples is not None:
        examples = _some(examples, sampling.max_examples, sampling.seed)
    card = task_card(task)
    return TaskExamples(
        task.name,
        language_of(task.name),
        examples,
        group=task_group(task),
        family=card.family,
        labels=card.labels,
    )


def _some(
    examples: EvaluationExamples, max_examples: int, seed: int
) -> EvaluationExamples:
    generator = np.random.Generator(np.random.Philox(key=seed))
    order = generator.permutation(len(examples.targets))[:max_examples]
    kept = np.sort(order)
    return examples.rows(kept)
