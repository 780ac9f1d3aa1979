"""A few examples of a task as a person can read them, and a packed row of a mixture.

Legend: L inputs length.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import seqio
import tensorflow as tf

from mtmoe.data.mixing.rates import task_rates
from mtmoe.data.reading import reading
from mtmoe.data.registry import get_mixture_or_task, get_task
from mtmoe.data.schedule import Schedule
from mtmoe.data.token_store import check_split
from mtmoe.data.vocabularies import vocabulary_behind
from mtmoe.errors import CorpusError

Lengths = Mapping[str, int]

PACKED_FEATURES = ("inputs", "targets")


@dataclass(frozen=True)
class PreviewExample:
    """One example before and after tokenisation.

    Attributes:
      text: `inputs` and `targets` as text, and further features as they are.
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
      padding: unused places of `inputs` and `targets`.
    """

    segments: tuple[PackedSegment, ...]
    padding: Mapping[str, int]


def preview_examples(
    task_name: str, split: str, num_examples: int, lengths: Lengths
) -> tuple[PreviewExample, ...]:
    """Returns the first examples of a split, through the task's own SeqIO pipeline.

    Args:
      task_name: a registered task.
      split: which split.
      num_examples: how many.
      lengths: `inputs` and `targets` lengths of a batch.

    Raises:
      UnknownNameError: no such task or split.
      CorpusError: no examples, or data that cannot be read.
    """
    task = get_task(task_name)
    vocabulary = task.output_features["targets"].vocabulary
    shown = []
    for example in itertools.islice(_examples(task, split, lengths), num_examples):
        tokens = {name: example[name] for name in PACKED_FEATURES}
        text = {
            name: _text(example, name, vocabulary)
            for name in (*PACKED_FEATURES, *_further(example))
        }
        cut = {name: pieces(vocabulary, tokens[name]) for name in PACKED_FEATURES}
        shown.append(PreviewExample(text, cut))
    if not shown:
        raise CorpusError(f"task {task_name!r} has no examples in split {split!r}")
    return tuple(shown)


def preview_packed(
    name: str, split: str, num_rows: int, lengths: Lengths, seed: int = 0
) -> tuple[PackedRow, ...]:
    """Packs the first examples of a mixture, by SeqIO's packer.

    Args:
      name: a mixture or task; its rates decide which task each example is of.
      split: which split.
      num_rows: packed rows wanted.
      lengths: `inputs` and `targets` lengths of a row.
      seed: keys the order of tasks.

    Raises:
      UnknownNameError: no such mixture or split.
      CorpusError: a task has no examples.
    """
    rates = task_rates(get_mixture_or_task(name))
    schedule = Schedule(rates, seed)
    vocabulary = get_task(schedule.task_names[0]).output_features["targets"].vocabulary
    examples = _scheduled(schedule, split, lengths, num_rows)
    dataset = tf.data.Dataset.from_generator(
        lambda: iter(examples),
        output_signature={
            name: tf.TensorSpec([None], tf.int32) for name in examples[0]
        },
    )
    packed = seqio.trim_and_pack_dataset(
        dataset, {**lengths, "task": lengths["targets"]}
    )
    rows = packed.take(num_rows).as_numpy_iterator()
    return tuple(_packed_row(row, schedule.task_names, vocabulary) for row in rows)


def pieces(vocabulary: seqio.Vocabulary, tokens: Sequence[int]) -> tuple[str, ...]:
    """Returns each token as the vocabulary writes it; bytes as `<0xNN>`."""
    vocabulary = vocabulary_behind(vocabulary)
    if isinstance(vocabulary, seqio.SentencePieceVocabulary):
        return tuple(vocabulary.tokenizer.IdToPiece(int(token)) for token in tokens)
    if isinstance(vocabulary, seqio.ByteVocabulary):
        return tuple(_byte_piece(vocabulary, int(token)) for token in tokens)
    return tuple(f"{int(token)}" for token in tokens)


def _examples(
    task: seqio.Task, split: str, lengths: Lengths
) -> Iterator[Mapping[str, Any]]:
    check_split(task, split)
    with reading(task, split):
        dataset = task.get_dataset(
            sequence_length=dict(lengths),
            split=split,
            use_cached=False,
            shuffle=False,
            seed=0,
            num_epochs=1,
            try_in_mem_cache=False,
        )
        yield from dataset.as_numpy_iterator()


def _scheduled(
    schedule: Schedule, split: str, lengths: Lengths, num_rows: int
) -> list[dict[str, npt.NDArray[np.int32]]]:
    """Returns examples in the schedule's order of tasks, each task's from its first.

    There are enough to fill `num_rows` however they fall: a packed row is left when the
    next example does not fit, so it is more than half full, or holds one example.
    """
    streams: dict[int, Iterator[Mapping[str, Any]]] = {}
    chosen: list[dict[str, npt.NDArray[np.int32]]] = []
    room = {name: 2 * (num_rows + 1) * lengths[name] for name in PACKED_FEATURES}
    while min(room.values()) > 0:
        number = int(schedule.rows(len(chosen), 1)[0][0])
        name = schedule.task_names[number]
        if number not in streams:
            streams[number] = itertools.cycle(_examples(get_task(name), split, lengths))
        example = next(streams[number], None)
        if example is None:
            raise CorpusError(f"task {name!r} has no examples in split {split!r}")
        cut = {name: np.asarray(example[name], np.int32) for name in PACKED_FEATURES}
        room = {name: room[name] - len(cut[name]) for name in PACKED_FEATURES}
        chosen.append(cut | {"task": np.full_like(cut["targets"], number + 1)})
    return chosen


def _packed_row(
    row: Mapping[str, npt.NDArray[np.int32]],
    task_names: Sequence[str],
    vocabulary: seqio.Vocabulary,
) -> PackedRow:
    segments = []
    for segment in range(1, int(row["targets_segment_ids"].max()) + 1):
        inside = {n: row[f"{n}_segment_ids"] == segment for n in PACKED_FEATURES}
        number = int(row["task"][inside["targets"]][0]) - 1
        cut = {n: pieces(vocabulary, row[n][inside[n]]) for n in PACKED_FEATURES}
        segments.append(PackedSegment(task_names[number], cut))
    padding = {
        n: int(np.count_nonzero(row[f"{n}_segment_ids"] == 0)) for n in PACKED_FEATURES
    }
    return PackedRow(tuple(segments), padding)


def _text(example: Mapping[str, Any], name: str, vocabulary: seqio.Vocabulary) -> str:
    """Returns a feature before tokenisation, or its tokens decoded if there is none."""
    value = example.get(f"{name}_pretokenized", example[name])
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if name in PACKED_FEATURES:
        return str(vocabulary.decode([int(token) for token in value]))
    if isinstance(value, np.ndarray) and value.dtype == object:
        return " | ".join(item.decode("utf-8", "replace") for item in value.ravel())
    return str(value)


def _further(example: Mapping[str, Any]) -> list[str]:
    return [
        name
        for name in example
        if name not in PACKED_FEATURES and not name.endswith("_pretokenized")
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
