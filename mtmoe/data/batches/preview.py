"""A few examples of a task as a person can read them, and packed rows of a mixture."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import seqio

from mtmoe.data.batches.batch import Batch
from mtmoe.data.batches.training import Packing, TrainingBatches
from mtmoe.data.rows.cached import FEATURES, Lengths
from mtmoe.data.tasks.form import check_split
from mtmoe.data.tasks.reading import examples_in_order
from mtmoe.data.tasks.registry import get_task, tasks_of
from mtmoe.data.vocabulary.configured import vocabulary_behind
from mtmoe.errors import CorpusError


@dataclass(frozen=True)
class PreviewExample:
    """One example before and after tokenisation.

    Attributes:
      text: `inputs` and `targets` as text, and further features as they are. A task
        for a decoder alone may have no `inputs`.
      pieces: `inputs` and `targets` as the vocabulary cuts them, end included.
    """

    text: Mapping[str, str]
    pieces: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class PackedSegment:
    """One example in a packed row.

    Attributes:
      task: name of its task.
      pieces: `inputs` and `targets` as the vocabulary cuts them.
    """

    task: str
    pieces: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class PackedRow:
    """One row of a packed batch.

    Attributes:
      segments: its examples, in order.
      padding: unused places of `inputs` and `targets`; for a decoder alone, whose
        inputs and targets share their places, of `targets`.
    """

    segments: tuple[PackedSegment, ...]
    padding: Mapping[str, int]


def preview_examples(
    task_name: str, split: str, num_examples: int, lengths: Lengths
) -> tuple[PreviewExample, ...]:
    """Returns the first examples of a split, through the task's own SeqIO pipeline.

    Raises:
      UnknownNameError: no such task or split.
      CorpusError: no examples, or data that cannot be read.
    """
    task = get_task(task_name)
    vocabulary = task.output_features["targets"].vocabulary
    shown = []
    check_split(task, split)
    examples = examples_in_order(task, split, lengths)
    for example in itertools.islice(examples, num_examples):
        packed = [name for name in FEATURES if name in example]
        text = {
            name: _text(example, name, vocabulary)
            for name in (*packed, *_further(example))
        }
        cut = {name: pieces(vocabulary, example[name]) for name in packed}
        shown.append(PreviewExample(text, cut))
    if not shown:
        raise CorpusError(f"task {task_name!r} has no examples in split {split!r}")
    return tuple(shown)


def preview_packed(
    name: str, split: str, num_rows: int, lengths: Lengths
) -> tuple[PackedRow, ...]:
    """Returns the rows of the first packed training batch of a mixture or task.

    Lengths are of a row's `inputs` and `targets`; of `targets` for a decoder alone.

    Raises:
      UnknownNameError: no such mixture or split.
      ConfigError: lengths that do not fit, or a task that cannot be packed.
      CorpusError: a task has no examples.
    """
    batches = TrainingBatches(
        name, num_rows, lengths, seed=0, split=split, packing=Packing()
    )
    vocabulary = next(iter(tasks_of(name))).output_features["targets"].vocabulary
    batch = batches.batch(0)
    return tuple(
        _packed_row(batch, row, batches.task_names, vocabulary)
        for row in range(num_rows)
    )


def pieces(
    vocabulary: seqio.Vocabulary, tokens: Sequence[int] | npt.NDArray[np.int32]
) -> tuple[str, ...]:
    """Returns each token as the vocabulary writes it; bytes as `<0xNN>`."""
    vocabulary = vocabulary_behind(vocabulary)
    if isinstance(vocabulary, seqio.SentencePieceVocabulary):
        return tuple(vocabulary.tokenizer.IdToPiece(int(token)) for token in tokens)
    if isinstance(vocabulary, seqio.ByteVocabulary):
        return tuple(_byte_piece(vocabulary, int(token)) for token in tokens)
    return tuple(f"{int(token)}" for token in tokens)


def _packed_row(
    batch: Batch,
    row: int,
    task_names: Sequence[str],
    vocabulary: seqio.Vocabulary,
) -> PackedRow:
    of_row = {name: array[row] for name, array in batch.features.items()}
    places = {name: (of_row[name], of_row[f"{name}_segments"]) for name in batch.names}
    padding = {
        name: int(np.sum(segments == 0)) for name, (_, segments) in places.items()
    }
    if "inputs" not in places:  # they stand before the targets of their segment
        (tokens, segments), is_input = places["targets"], of_row["targets_prefix"] == 1
        places = {
            "inputs": (tokens, np.where(is_input, segments, 0)),
            "targets": (tokens, np.where(is_input, 0, segments)),
        }
    tasks = batch.segment_task[row]
    packed = [
        PackedSegment(
            task_names[task],
            {
                name: pieces(vocabulary, tokens[segments == segment])
                for name, (tokens, segments) in places.items()
            },
        )
        for segment, task in enumerate(tasks[tasks >= 0], start=1)
    ]
    return PackedRow(tuple(packed), padding)


def _text(example: Mapping[str, Any], name: str, vocabulary: seqio.Vocabulary) -> str:
    """Returns a feature before tokenisation, or its tokens decoded if there is none."""
    value = example.get(f"{name}_pretokenized", example[name])
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if name in FEATURES:
        return str(vocabulary.decode([int(token) for token in value]))
    if isinstance(value, np.ndarray) and value.dtype == object:
        return " | ".join(item.decode("utf-8", "replace") for item in value.ravel())
    return str(value)


def _further(example: Mapping[str, Any]) -> list[str]:
    return [
        name
        for name in example
        if name not in FEATURES and not name.endswith("_pretokenized")
    ]


def _byte_piece(vocabulary: seqio.ByteVocabulary, token: int) -> str:
    byte = token - 3
    if 0x20 < byte < 0x7F:
        return chr(byte)
    if 0 <= byte < 256:
        return f"<0x{byte:02X}>"
    if token >= 259:
        return f"<extra_id_{vocabulary.vocab_size - 1 - token}>"
    return ("<pad>", "</s>", "<unk>")[token]
