"""How long a task's examples are and how many there are: measured, or from its card.

Nothing is downloaded: data sets of TensorFlow Datasets and files that are not here are
known by their card alone, and what nobody knows is None. Web text is counted or
estimated where a folder has it, whatever was published for the whole corpus.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import seqio
import tensorflow as tf

from mtmoe.data.ground.token_rows import cut_rows
from mtmoe.data.mixing.encoding import (
    Encoding,
    bytes_per_token,
    language_encoding,
)
from mtmoe.data.mixing.sizes import tokens_at_hand
from mtmoe.data.mixing.web_sizes import web_text_size
from mtmoe.data.objectives.objective import TokenObjective
from mtmoe.data.rows.cached import Lengths
from mtmoe.data.sources.joined import JoinedSource
from mtmoe.data.sources.web.folder import web_text_directory
from mtmoe.data.sources.web.source import WebTextSource
from mtmoe.data.tasks.card import task_card
from mtmoe.data.tasks.form import check_split, task_form
from mtmoe.data.tasks.reading import examples_in_order
from mtmoe.data.token_cache.reader import CachedSplit
from mtmoe.errors import ConfigError, CorpusError

TYPICAL_TOKENS: Mapping[str, tuple[int, int]] = {
    "pretraining": (512, 114),
    "translation": (40, 40),
    "names": (12, 6),
    "language_id": (60, 3),
    "classification": (60, 3),
    "nli": (80, 3),
    "paraphrase": (60, 3),
    "commonsense": (80, 5),
    "closed_book_qa": (20, 5),
    "reading_comprehension": (250, 6),
    "summarization": (500, 60),
    "generation": (60, 40),
    "semantic_parsing": (25, 40),
    "dialogue": (120, 25),
    "tagging": (30, 30),
    "morphology": (12, 8),
    "numbers": (15, 12),
    "mathematics": (70, 60),
    "other": (100, 20),
}
"""Tokens of inputs and targets, EOS included, that are typical of a family: orders of
magnitude, for tasks whose data is not here and whose card says nothing."""

_SAMPLE = 64  # examples


@dataclass(frozen=True)
class TaskFacts:
    """What a plan needs to know about a task.

    Attributes:
      tokens_per_example: mean tokens of inputs and targets in a batch.
      epoch_examples: examples of one pass; None if unknown.
      bytes_per_token: UTF-8 bytes of text a token stands for; None if unknown.
      bases: what `tokens_per_example`, `epochs` and `bytes_per_token` rest on.
      absent: why there is no text in the user's folder of web text; "" if there is, or
        if no folder is given.
    """

    tokens_per_example: float
    epoch_examples: float | None
    bytes_per_token: float | None
    bases: Mapping[str, str]
    absent: str = ""


def task_facts(task: seqio.Task, lengths: Lengths) -> TaskFacts:
    """Returns the facts of the training split of any task with `inputs` and `targets`.

    Raises:
      ConfigError: the targets' length is too small for the inputs'.
      UnknownNameError: the task has no training split.
    """
    check_split(task, "train")
    objective = task_form(task).objective
    if objective is not None:
        return _text_facts(task, objective, lengths)
    return _data_facts(task, lengths) or _stated_facts(task, lengths)


def _text_facts(
    task: seqio.Task, objective: TokenObjective, lengths: Lengths
) -> TaskFacts:
    """Returns the facts of a task whose rows are cut to fill the inputs."""
    raw_length, targets_length = objective.lengths(
        lengths["inputs"], lengths["targets"]
    )
    if lengths["targets"] < targets_length:
        raise ConfigError(
            f"lengths: inputs of {lengths['inputs']} need targets of {targets_length} "
            f"with {objective} (task {task.name!r}), got {lengths['targets']}"
        )
    full_row = _full_row(objective, raw_length)
    text = tokens_at_hand(task)
    if text is not None:
        tokens = text.all_tokens()
        rows = cut_rows(tokens, raw_length, raw_length // 4)
        return TaskFacts(
            full_row * rows.tokens.size / (len(rows) * raw_length),
            float(len(rows)),
            bytes_per_token(_vocabulary(task), tokens),
            _bases("measured", "measured", "measured"),
        )
    absent = ""
    if isinstance(task.source, WebTextSource) and web_text_directory():
        absent = _why_absent(task.source)
        if not absent:
            return _web_facts(task, task.source, full_row, raw_length)
    card, encoding = task_card(task), _encoding(task)
    if encoding is None or not card.train_characters:
        num_rows, basis = None, "unknown"
    else:
        tokens_in_epoch = card.train_characters / encoding.characters_per_token
        num_rows, basis = max(tokens_in_epoch / raw_length, 1.0), "card"
    return TaskFacts(
        full_row,
        num_rows,
        encoding.bytes_per_token if encoding else None,
        _bases("filled", basis, encoding.basis if encoding else "unknown"),
        absent,
    )


def _why_absent(source: WebTextSource) -> str:
    try:
        source.num_files("train")
    except CorpusError as error:
        return str(error)
    return ""


def _web_facts(
    task: seqio.Task, source: WebTextSource, full_row: float, raw_length: int
) -> TaskFacts:
    """Returns the facts of the text in the user's folder."""
    size = web_text_size(source, _vocabulary(task))
    rows, rest = divmod(size.tokens, raw_length)
    if rest >= raw_length // 4 or not rows:
        rows += 1
    used = min(size.tokens, rows * raw_length)
    known = ("measured", "measured") if size.is_counted else ("estimated", "sampled")
    return TaskFacts(
        full_row * used / (rows * raw_length),
        rows,
        size.bytes / size.tokens if size.tokens else None,
        _bases("filled", *known),
    )


@functools.lru_cache(maxsize=256)
def _full_row(objective: TokenObjective, raw_length: int) -> float:
    """Returns tokens of inputs and targets, EOS included, of a row of full length."""
    sizes = objective.sizes([raw_length], np.zeros(1, np.uint64))
    return float(sum(size_N[0] + 1 for size_N in sizes))


def _data_facts(task: seqio.Task, lengths: Lengths) -> TaskFacts | None:
    """Measures a supervised task's examples, if they are here; otherwise None."""
    try:
        examples = tokens_at_hand(task)
        if examples is not None:
            return _measured_facts(task, examples, lengths)
        if not _is_here(task.source):
            return None
        sample = _sample(task, lengths)
        counted = task.source.num_input_examples("train")
    except CorpusError:
        return None  # a file of the user's that is not here
    if not sample:
        raise CorpusError(f"task {task.name!r} has no training examples")
    stated = task_card(task).train_examples
    number, basis = (counted, "measured") if counted else (stated, "card")
    return TaskFacts(
        float(np.mean([tokens.size for tokens in sample])),
        float(number) if number else None,
        bytes_per_token(_vocabulary(task), np.concatenate(sample)),
        _bases("sampled", basis if number else "unknown", "sampled"),
    )


def _measured_facts(
    task: seqio.Task, examples: CachedSplit, lengths: Lengths
) -> TaskFacts:
    """Returns the facts of examples that are all here."""
    features = examples.manifest.features
    most_F = np.array([lengths[name] for name in features])
    sizes_NF = np.minimum(examples.all_sizes() + 1, most_F)  # EOS on both sides
    tokens = np.concatenate([examples.all_tokens(name) for name in features])
    return TaskFacts(
        float(np.mean(sizes_NF.sum(axis=1))),
        float(examples.num_examples),
        bytes_per_token(_vocabulary(task), tokens),
        _bases("measured", "measured", "measured"),
    )


def _sample(task: seqio.Task, lengths: Lengths) -> list[npt.NDArray[np.int32]]:
    """Returns the tokens, inputs and targets together, of the first examples."""
    examples = examples_in_order(task, "train", lengths)
    return [
        np.concatenate([example["inputs"], example["targets"]])
        for example in itertools.islice(examples, _SAMPLE)
    ]


def _is_here(source: seqio.DataSource) -> bool:
    """Whether a source can be read without a download."""
    if isinstance(source, seqio.FileDataSource):
        pattern = source._split_to_filepattern["train"]
        patterns = [pattern] if isinstance(pattern, str) else pattern
        return all(tf.io.gfile.glob(one) for one in patterns)
    if isinstance(source, JoinedSource):
        return all(_is_here(part.source) for part in source.parts)
    return isinstance(source, seqio.FunctionDataSource)


def _stated_facts(task: seqio.Task, lengths: Lengths) -> TaskFacts:
    """Returns what a supervised task's card says, and what is typical of its family."""
    card, encoding = task_card(task), _encoding(task)
    if encoding and card.train_examples and card.train_characters:
        characters = card.train_characters / card.train_examples
        tokens = characters / encoding.characters_per_token + 2  # EOS on both sides
        length, basis = min(tokens, float(sum(lengths.values()))), "card"
    else:
        inputs, targets = TYPICAL_TOKENS[card.family]
        length = float(
            min(inputs, lengths["inputs"]) + min(targets, lengths["targets"])
        )
        basis = "family"
    return TaskFacts(
        length,
        float(card.train_examples) if card.train_examples else None,
        encoding.bytes_per_token if encoding else None,
        _bases(
            basis,
            "card" if card.train_examples else "unknown",
            encoding.basis if encoding else "unknown",
        ),
    )


def _encoding(task: seqio.Task) -> Encoding | None:
    """Returns how the vocabulary writes a task's language, as far as it is known."""
    code = task_card(task).language
    return language_encoding(code) if code else None


def _vocabulary(task: seqio.Task) -> seqio.Vocabulary:
    return task.output_features["targets"].vocabulary


def _bases(length: str, epochs: str, size: str) -> dict[str, str]:
    return {"tokens_per_example": length, "epochs": epochs, "bytes_per_token": size}
