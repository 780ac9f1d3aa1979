"""Tokens of the examples that Python makes, encoded once and kept on disk.

A task is of pairs if its source is a `PairSource` and its steps are tokenise and EOS
after trimming: then its texts are encoded directly, without a tf.data pipeline (SeqIO's
own output, tested equal). A source that can name its content beforehand is read from
`cache_directory()/pairs` without being made again.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import seqio

from mtmoe.data.cache import cache_directory, write_atomically
from mtmoe.data.sources.pairs import PairSource, TextExample
from mtmoe.data.token_rows import TokenRows, join_rows
from mtmoe.data.vocabularies import vocabulary_behind, vocabulary_fingerprint

_FORMAT_VERSION = "mtmoe pairs 1"
_ARRAYS = ("inputs_tokens", "inputs_bounds", "targets_tokens", "targets_bounds")


@dataclass(frozen=True)
class TokenPairs:
    """Examples as tokens, whole and without EOS.

    Attributes:
      inputs: inputs of each example.
      targets: targets of each example.
    """

    inputs: TokenRows
    targets: TokenRows


def is_task_of_pairs(task: seqio.Task) -> bool:
    """Returns whether a task's texts can be encoded without a tf.data pipeline."""
    steps = [
        step
        for step in task.preprocessors
        if not isinstance(step, seqio.CacheDatasetPlaceholder)
    ]
    return isinstance(task.source, PairSource) and steps == [
        seqio.preprocessors.tokenize,
        seqio.preprocessors.append_eos_after_trim,
    ]


def token_pairs(task: seqio.Task, split: str) -> TokenPairs:
    """Returns the examples of a task of pairs, encoded.

    Args:
      task: a task for which `is_task_of_pairs`.
      split: name of a split it has.
    """
    vocabulary = task.output_features["targets"].vocabulary
    if task.source.fingerprint is None:
        return _encode(task.source.examples(split), vocabulary)
    kept = _read(_cache_path(task, split, vocabulary))
    if kept is not None:
        return kept
    # What makes the examples of one split mostly makes those of all: keep all of them.
    made = {s: _encode(task.source.examples(s), vocabulary) for s in task.splits}
    for name, pairs in made.items():
        _write(_cache_path(task, name, vocabulary), pairs)
    return made[split]


def trim_and_end(
    pairs: TokenPairs, lengths: Mapping[str, int], eos_id: int
) -> TokenPairs:
    """Cuts inputs and targets so that EOS fits behind them, and puts it there."""
    return TokenPairs(
        _trim_and_end(pairs.inputs, lengths["inputs"], eos_id),
        _trim_and_end(pairs.targets, lengths["targets"], eos_id),
    )


def _trim_and_end(rows: TokenRows, length: int, eos_id: int) -> TokenRows:
    sizes_N = np.minimum(np.diff(rows.bounds), length - 1)
    bounds = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes_N + 1)])
    tokens = np.full(bounds[-1], eos_id, np.int32)
    # Each kept token moves by its row's start there, less its row's start here.
    shifts = np.repeat(rows.bounds[:-1] - (np.cumsum(sizes_N) - sizes_N), sizes_N)
    kept = rows.tokens[np.arange(len(shifts)) + shifts]
    is_text = np.ones(len(tokens), bool)
    is_text[bounds[1:] - 1] = False
    tokens[is_text] = kept
    return TokenRows(tokens, bounds)


def _encode(
    examples: Sequence[TextExample], vocabulary: seqio.Vocabulary
) -> TokenPairs:
    vocabulary = vocabulary_behind(vocabulary)
    return TokenPairs(
        _encode_texts([str(example["inputs"]) for example in examples], vocabulary),
        _encode_texts([str(example["targets"]) for example in examples], vocabulary),
    )


def _encode_texts(texts: list[str], vocabulary: seqio.Vocabulary) -> TokenRows:
    if isinstance(vocabulary, seqio.SentencePieceVocabulary):
        return join_rows(vocabulary.tokenizer.EncodeAsIds(texts))
    return join_rows(map(vocabulary.encode, texts))


def _cache_path(task: seqio.Task, split: str, vocabulary: seqio.Vocabulary) -> Path:
    identity = "\n".join(
        (
            _FORMAT_VERSION,
            task.name,
            split,
            task.source.fingerprint(),
            vocabulary_fingerprint(vocabulary),
        )
    )
    digest = hashlib.sha256(identity.encode("utf-8")).hexdigest()
    return cache_directory() / "pairs" / f"{digest[:32]}.npz"


def _read(path: Path) -> TokenPairs | None:
    """Returns the kept tokens; None if there are none, or the file is damaged."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            inputs, inputs_bounds, targets, targets_bounds = (
                arrays[name] for name in _ARRAYS
            )
    except FileNotFoundError:
        return None
    except (ValueError, EOFError, OSError, KeyError, zipfile.BadZipFile):
        path.unlink(missing_ok=True)  # made again, from the text
        return None
    return TokenPairs(
        TokenRows(inputs, inputs_bounds), TokenRows(targets, targets_bounds)
    )


def _write(path: Path, pairs: TokenPairs) -> None:
    arrays = (
        pairs.inputs.tokens,
        pairs.inputs.bounds,
        pairs.targets.tokens,
        pairs.targets.bounds,
    )
    buffer = io.BytesIO()
    named: dict[str, Any] = dict(zip(_ARRAYS, arrays, strict=True))
    np.savez(buffer, **named)
    write_atomically(path, buffer.getvalue())
