"""How long a task's examples are and how many there are: measured, or from its card.

Nothing is downloaded: data sets of TensorFlow Datasets and files that are not here are
known by their card alone, and what nobody knows is None.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import seqio
import tensorflow as tf

from mtmoe.data.mixing.encoding import language_encoding
from mtmoe.data.mixing.sizes import counts_text_at_hand
from mtmoe.data.sources.pairs import PairSource
from mtmoe.data.task_card import task_card
from mtmoe.data.task_rows import Lengths
from mtmoe.data.token_rows import cut_rows
from mtmoe.data.token_store import TokenLevelSteps, task_tokens, token_level_steps
from mtmoe.data.vocabularies import token_bytes
from mtmoe.errors import ConfigError, CorpusError, UnknownNameError
from mtmoe.languages import language

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

_SAMPLE = 64
_PLAIN_STEPS = (seqio.preprocessors.tokenize, seqio.preprocessors.append_eos_after_trim)


@dataclass(frozen=True)
class TaskFacts:
    """What a plan needs to know about a task.

    Attributes:
      tokens_per_example: mean tokens of inputs and targets in a batch.
      epoch_examples: examples of one pass; None if unknown.
      bytes_per_token: UTF-8 bytes of text a token stands for; None if unknown.
      bases: what `tokens_per_example`, `epochs` and `bytes_per_token` rest on.
    """

    tokens_per_example: float
    epoch_examples: float | None
    bytes_per_token: float | None
    bases: Mapping[str, str]


def task_facts(task: seqio.Task, lengths: Lengths) -> TaskFacts:
    """Returns the facts of a task's training split.

    Args:
      task: any SeqIO task with the features `inputs` and `targets`.
      lengths: `inputs` and `targets` lengths of a batch.

    Raises:
      ConfigError: the targets' length is too small for the inputs'.
      UnknownNameError: the task has no training split.
    """
    if "train" not in task.splits:
        raise UnknownNameError(f"split of task {task.name!r}", "train", task.splits)
    steps = token_level_steps(task)
    if steps is not None:
        return _text_facts(task, steps, lengths)
    sample = _sample(task, lengths)
    if sample is not None:
        return _sampled_facts(task, sample)
    return _stated_facts(task, lengths)


def _text_facts(
    task: seqio.Task, steps: TokenLevelSteps, lengths: Lengths
) -> TaskFacts:
    raw_length, targets_length = steps.objective.lengths(lengths["inputs"])
    if lengths["targets"] < targets_length:
        raise ConfigError(
            f"lengths: inputs of {lengths['inputs']} need targets of {targets_length} "
            f"with {steps.objective} (task {task.name!r}), got {lengths['targets']}"
        )
    full_row = float(lengths["inputs"] + targets_length)
    if counts_text_at_hand(task):
        tokens = task_tokens(task, "train")
        rows = cut_rows(tokens, raw_length, raw_length // 4)
        sizes_V = token_bytes(task.output_features["targets"].vocabulary)
        return TaskFacts(
            full_row * rows.tokens.size / (len(rows) * raw_length),
            float(len(rows)),
            float(sizes_V[tokens].sum() / tokens.size),
            _bases("measured", "measured", "measured"),
        )
    card = task_card(task)
    encoding = language_encoding(card.language) if _known(card.language) else None
    if encoding is None or not card.train_characters:
        size, basis = (
            (None, "unknown")
            if encoding is None
            else (encoding.bytes_per_token, encoding.basis)
        )
        return TaskFacts(full_row, None, size, _bases("filled", "unknown", basis))
    rows_in_epoch = card.train_characters / encoding.characters_per_token / raw_length
    return TaskFacts(
        full_row,
        max(rows_in_epoch, 1.0),
        encoding.bytes_per_token,
        _bases("filled", "card", encoding.basis),
    )


@dataclass(frozen=True)
class _Sample:
    """Token counts of some examples, and bytes of text of them all."""

    tokens_per_example: float
    bytes_per_token: float
    num_examples: int | None  # of all there are


def _sample(task: seqio.Task, lengths: Lengths) -> _Sample | None:
    """Measures some of a task's examples, if they are here; otherwise None."""
    source = task.source
    try:
        if isinstance(source, PairSource) and _is_plain(task):
            examples = source.examples("train")
            chosen = examples[:: max(len(examples) // _SAMPLE, 1)]
            tokens = [_encoded(task, example, lengths) for example in chosen]
            return _counted(task, tokens, len(examples))
        if not _is_here(source):
            return None
        dataset = task.get_dataset(
            sequence_length=dict(lengths),
            split="train",
            use_cached=False,
            shuffle=False,
            num_epochs=1,
            try_in_mem_cache=False,
        )
        tokens = [
            np.concatenate([example["inputs"], example["targets"]])
            for example in dataset.take(_SAMPLE).as_numpy_iterator()
        ]
        return _counted(task, tokens, source.num_input_examples("train"))
    except CorpusError:
        return None  # a file of the user's that is not here


def _is_here(source: seqio.DataSource) -> bool:
    if isinstance(source, seqio.FunctionDataSource):
        return True
    if isinstance(source, seqio.FileDataSource):
        pattern = source._split_to_filepattern["train"]
        patterns = [pattern] if isinstance(pattern, str) else pattern
        return all(tf.io.gfile.glob(one) for one in patterns)
    return False


def _is_plain(task: seqio.Task) -> bool:
    """Whether the task's only steps are those that make tokens of text."""
    steps = [
        step
        for step in task.preprocessors
        if not isinstance(step, seqio.CacheDatasetPlaceholder)
    ]
    return tuple(steps) == _PLAIN_STEPS


def _encoded(
    task: seqio.Task, example: Mapping[str, str | Sequence[str]], lengths: Lengths
) -> np.ndarray:
    vocabulary = task.output_features["targets"].vocabulary
    return np.concatenate(
        [
            np.append(
                np.asarray(vocabulary.encode(example[name]), np.int32)[: length - 1],
                vocabulary.eos_id,
            )
            for name, length in lengths.items()
        ]
    )


def _counted(
    task: seqio.Task, tokens: Sequence[np.ndarray], num_examples: int | None
) -> _Sample:
    if not tokens:
        raise CorpusError(f"task {task.name!r} has no examples")
    sizes_V = token_bytes(task.output_features["targets"].vocabulary)
    joined = np.concatenate(tokens)
    text = np.count_nonzero(sizes_V[joined])
    return _Sample(
        joined.size / len(tokens),
        float(sizes_V[joined].sum() / max(text, 1)),
        num_examples,
    )


def _sampled_facts(task: seqio.Task, sample: _Sample) -> TaskFacts:
    stated = task_card(task).train_examples
    examples = sample.num_examples or stated
    return TaskFacts(
        sample.tokens_per_example,
        float(examples) if examples else None,
        sample.bytes_per_token,
        _bases(
            "sampled",
            "measured" if sample.num_examples else "card" if stated else "unknown",
            "sampled",
        ),
    )


def _stated_facts(task: seqio.Task, lengths: Lengths) -> TaskFacts:
    card = task_card(task)
    encoding = language_encoding(card.language) if _known(card.language) else None
    if encoding and card.train_examples and card.train_characters:
        characters = card.train_characters / card.train_examples
        tokens = characters / encoding.characters_per_token + 2
        length, basis = min(tokens, sum(lengths.values())), "card"
    else:
        inputs, targets = TYPICAL_TOKENS[card.family]
        length = min(inputs, lengths["inputs"]) + min(targets, lengths["targets"])
        basis = "family"
    return TaskFacts(
        float(length),
        float(card.train_examples) if card.train_examples else None,
        encoding.bytes_per_token if encoding else None,
        _bases(
            basis,
            "card" if card.train_examples else "unknown",
            encoding.basis if encoding else "unknown",
        ),
    )


def _known(code: str) -> bool:
    """Whether a task's language is one of mC4's."""
    try:
        return bool(code and language(code))
    except UnknownNameError:
        return False


def _bases(length: str, epochs: str, size: str) -> dict[str, str]:
    return {"tokens_per_example": length, "epochs": epochs, "bytes_per_token": size}
