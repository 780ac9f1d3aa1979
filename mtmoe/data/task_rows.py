"""What a task gives to a batch: rows that become (inputs, targets) when asked for.

A task at token level gives stretches of raw tokens, corrupted anew every time. Any
other task is run through its own SeqIO pipeline once; its examples are its rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import seqio

from mtmoe.data.objectives.corruption import CorruptRows, corruption
from mtmoe.data.objectives.objective import TokenObjective
from mtmoe.data.pair_store import (
    TokenPairs,
    is_task_of_pairs,
    token_pairs,
    trim_and_end,
)
from mtmoe.data.reading import reading
from mtmoe.data.token_rows import TokenRows, cut_rows, join_rows, stack_rows
from mtmoe.data.token_store import (
    check_split,
    check_tokens,
    task_tokens,
    token_level_steps,
)
from mtmoe.data.vocabularies import token_bytes, vocabulary_fingerprint
from mtmoe.errors import ConfigError

Int32Array = npt.NDArray[np.int32]
Lengths = Mapping[str, int]

_NUM_SENTINELS: dict[str, int] = {}  # by vocabulary fingerprint


@dataclass(frozen=True)
class RawRows:
    """Rows of a task at token level.

    Attributes:
      rows: raw tokens, at most `raw_length` a row.
      raw_length: R, raw tokens that fill the inputs exactly.
      corrupt: makes (inputs, targets) of rows; the same object for all tasks that
        can be corrupted together.
    """

    rows: TokenRows
    raw_length: int
    corrupt: CorruptRows

    def __len__(self) -> int:
        """Returns the number of rows."""
        return len(self.rows)

    @property
    def text_tokens(self) -> Int32Array:
        """All raw tokens."""
        return self.rows.tokens

    def make(
        self, rows_N: npt.NDArray[np.int64], seeds_N2: Int32Array
    ) -> tuple[Int32Array, Int32Array]:
        """Returns inputs [N, L] and targets [N, T] of rows, noise keyed by seeds."""
        tokens_NR, sizes_N = self.rows.gather(rows_N, self.raw_length)
        return self.corrupt(tokens_NR, sizes_N, seeds_N2)


@dataclass(frozen=True)
class ExampleRows:
    """Examples of a task that has been run through SeqIO.

    Attributes:
      inputs: inputs of each example, EOS included where the task appends it.
      targets: targets of each example, likewise.
      lengths: (L, T) they are padded to.
    """

    inputs: TokenRows
    targets: TokenRows
    lengths: tuple[int, int]

    def __len__(self) -> int:
        """Returns the number of examples."""
        return len(self.targets)

    @property
    def text_tokens(self) -> Int32Array:
        """All target tokens."""
        return self.targets.tokens

    def make(
        self, rows_N: npt.NDArray[np.int64], seeds_N2: Int32Array
    ) -> tuple[Int32Array, Int32Array]:
        """Returns inputs [N, L] and targets [N, T] of rows; seeds play no part."""
        del seeds_N2
        inputs_NL, _ = self.inputs.gather(rows_N, self.lengths[0])
        targets_NT, _ = self.targets.gather(rows_N, self.lengths[1])
        return inputs_NL, targets_NT


TaskRows = RawRows | ExampleRows


def stack_task_rows(parts: Sequence[TaskRows]) -> list[tuple[TaskRows, list[int]]]:
    """Puts rows that are made the same way behind each other.

    Returns:
      (stacked rows, numbers of the parts in them, in order); one pair for each traced
      map in use and one for all examples.
    """
    members: dict[CorruptRows | None, list[int]] = {}
    for number, part in enumerate(parts):
        kind = part.corrupt if isinstance(part, RawRows) else None
        members.setdefault(kind, []).append(number)
    return [
        (_stack([parts[number] for number in numbers]), numbers)
        for numbers in members.values()
    ]


def load_task_rows(task: seqio.Task, split: str, lengths: Lengths) -> TaskRows:
    """Loads the training rows of a task.

    A last row at token level is kept if it fills a quarter of a full one, or is the
    only one: a shorter one would count as much as a full row and teach little.

    Args:
      task: any SeqIO task with features `inputs` and `targets`.
      split: name of the split.
      lengths: `inputs` and `targets` lengths of a batch.

    Raises:
      UnknownNameError: the task has no such split.
      ConfigError: features or lengths that do not fit the task.
      CorpusError: no examples, or a token outside the vocabulary.
    """
    steps = token_level_steps(task)
    if steps is None:
        return _example_rows(task, split, lengths)
    vocabulary = task_vocabulary(task)
    raw_length, corrupt = bind_objective(steps.objective, vocabulary, lengths)
    tokens = task_tokens(task, split)
    return RawRows(cut_rows(tokens, raw_length, raw_length // 4), raw_length, corrupt)


def bind_objective(
    objective: TokenObjective, vocabulary: seqio.Vocabulary, lengths: Lengths
) -> tuple[int, CorruptRows]:
    """Returns the raw length of a row and the traced map for these lengths.

    Raises:
      ConfigError: targets that do not fit, or more spans than sentinels.
    """
    raw_length, targets_length = objective.lengths(
        lengths["inputs"], lengths["targets"]
    )
    if lengths["targets"] < targets_length:
        raise ConfigError(
            f"lengths: inputs of {lengths['inputs']} need targets of {targets_length} "
            f"with {objective}, got {lengths['targets']}"
        )
    needed, there_are = objective.num_sentinels(raw_length), num_sentinels(vocabulary)
    if needed > there_are:
        raise ConfigError(
            f"inputs of {lengths['inputs']} tokens need {needed} sentinels with "
            f"{objective}; the vocabulary has {there_are}"
        )
    corrupt = corruption(
        objective,
        vocabulary.vocab_size,
        vocabulary.eos_id,
        lengths["inputs"],
        lengths["targets"],
    )
    return raw_length, corrupt


def num_sentinels(vocabulary: seqio.Vocabulary) -> int:
    """Returns how many tokens at the end of a vocabulary stand for no text."""
    fingerprint = vocabulary_fingerprint(vocabulary)
    if fingerprint not in _NUM_SENTINELS:
        textless = token_bytes(vocabulary) == 0
        trailing = np.logical_and.accumulate(textless[::-1]).sum()
        _NUM_SENTINELS[fingerprint] = int(trailing)
    return _NUM_SENTINELS[fingerprint]


def task_vocabulary(task: seqio.Task) -> seqio.Vocabulary:
    """Returns the one vocabulary of a task's inputs and targets.

    Raises:
      ConfigError: a feature is missing, or the two have different vocabularies.
    """
    for feature in ("inputs", "targets"):
        if feature not in task.output_features:
            raise ConfigError(
                f"task {task.name!r} has no feature {feature!r}; it has "
                + ", ".join(map(repr, task.output_features))
            )
    vocabulary: seqio.Vocabulary = task.output_features["targets"].vocabulary
    if task.output_features["inputs"].vocabulary != vocabulary:
        raise ConfigError(
            f"task {task.name!r} has different vocabularies for inputs and targets"
        )
    return vocabulary


def check_lengths(lengths: Lengths) -> Lengths:
    """Returns lengths as a dict with exactly `inputs` and `targets`, both positive.

    Raises:
      ConfigError: another key, or a length below 2.
    """
    checked = dict(lengths)
    if set(checked) != {"inputs", "targets"} or min(checked.values()) < 2:
        raise ConfigError(
            f"lengths are {checked}; needed: 'inputs' and 'targets', each 2 or more"
        )
    return checked


def _example_rows(task: seqio.Task, split: str, lengths: Lengths) -> ExampleRows:
    check_split(task, split)
    vocabulary = task_vocabulary(task)
    if is_task_of_pairs(task):
        pairs = trim_and_end(token_pairs(task, split), lengths, vocabulary.eos_id)
    else:
        pairs = _pipeline_pairs(task, split, lengths)
    check_tokens(task, split, pairs.inputs.tokens)
    check_tokens(task, split, pairs.targets.tokens)
    return ExampleRows(
        pairs.inputs, pairs.targets, (lengths["inputs"], lengths["targets"])
    )


def _pipeline_pairs(task: seqio.Task, split: str, lengths: Lengths) -> TokenPairs:
    with reading(task, split):
        dataset = task.get_dataset(
            sequence_length=dict(lengths),
            split=split,
            use_cached=False,
            shuffle=False,
            seed=0,
            num_epochs=1,
        )
        examples = [
            (row["inputs"], row["targets"]) for row in dataset.as_numpy_iterator()
        ]
    return TokenPairs(
        join_rows(inputs for inputs, _ in examples),
        join_rows(targets for _, targets in examples),
    )


def _stack(parts: Sequence[TaskRows]) -> TaskRows:
    if isinstance(parts[0], RawRows):
        rows = stack_rows([part.rows for part in parts if isinstance(part, RawRows)])
        return replace(parts[0], rows=rows)
    examples = [part for part in parts if isinstance(part, ExampleRows)]
    return replace(
        parts[0],
        inputs=stack_rows([part.inputs for part in examples]),
        targets=stack_rows([part.targets for part in examples]),
    )
