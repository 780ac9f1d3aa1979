"""Raw tokens of a task: its steps before the objective, run once and kept on disk.

A task is at token level if its steps end in a `TokenObjective` and `append_eos`. If the
steps before are exactly rekey and tokenize, documents are encoded directly, without a
tf.data pipeline (SeqIO's own output, tested equal), and the tokens are kept under
`cache_directory()/tokens`, named by a hash of the documents and the vocabulary.
"""

from __future__ import annotations

import functools
import hashlib
import io
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import seqio

from mtmoe.data.cache import cache_directory, write_atomically
from mtmoe.data.objectives.objective import TokenObjective
from mtmoe.data.sources.text import TextSource
from mtmoe.data.vocabularies import vocabulary_fingerprint
from mtmoe.errors import CorpusError, UnknownNameError

Int32Array = npt.NDArray[np.int32]

_FORMAT_VERSION = b"mtmoe tokens 1"


class TokenLevelSteps(NamedTuple):
    """The steps of a task at token level: `offline`, then `objective`, then EOS."""

    offline: tuple[Callable[..., Any], ...]
    objective: TokenObjective


def token_level_steps(task: seqio.Task) -> TokenLevelSteps | None:
    """Returns a task's steps if it is at token level, otherwise None."""
    steps = tuple(
        step
        for step in task.preprocessors
        if not isinstance(step, seqio.CacheDatasetPlaceholder)
    )
    if len(steps) < 2 or steps[-1] is not seqio.preprocessors.append_eos:
        return None
    objective = steps[-2]
    if isinstance(objective, type) or not isinstance(objective, TokenObjective):
        return None
    return TokenLevelSteps(steps[:-2], objective)


def task_tokens(task: seqio.Task, split: str) -> Int32Array:
    """Returns all tokens of a task at token level: documents in order, joined.

    No EOS stands between documents, and padding (token 0) is left out, as T5's
    `reduce_concat_tokens` has it.

    Args:
      task: a task for which `token_level_steps` is not None.
      split: name of a split.

    Returns:
      int32 [tokens], at least one, all inside the vocabulary.

    Raises:
      UnknownNameError: the task has no such split.
      CorpusError: the split has no tokens, a document is not UTF-8, or a token is
        outside the vocabulary.
    """
    check_split(task, split)
    steps = token_level_steps(task)
    if steps is None:
        raise ValueError(f"task {task.name!r} is not at token level")
    text_key = _plain_text_key(steps.offline)
    if text_key is None:
        tokens = _join(_pipeline_tokens(task, split, steps.offline))
    else:
        tokens = _cached_tokens(task, split, _documents(task, split, text_key))
    check_tokens(task, split, tokens)
    return tokens


def document_tokens(
    documents: Iterable[str], vocabulary: seqio.Vocabulary
) -> Int32Array:
    """Encodes documents and joins their tokens; padding (token 0) is left out."""
    return _join(np.asarray(vocabulary.encode(text), np.int32) for text in documents)


def check_split(task: seqio.Task, split: str) -> None:
    """Raises UnknownNameError if a task has no split of that name."""
    if split not in task.splits:
        raise UnknownNameError(f"split of task {task.name!r}", split, task.splits)


def check_tokens(task: seqio.Task, split: str, tokens: Int32Array) -> None:
    """Raises CorpusError if there are no tokens or one is outside the vocabulary."""
    if tokens.size == 0:
        raise CorpusError(f"task {task.name!r} has no text in split {split!r}")
    vocab_size = task.output_features["targets"].vocabulary.vocab_size
    if tokens.min() < 0 or tokens.max() >= vocab_size:
        worst = int(tokens.min() if tokens.min() < 0 else tokens.max())
        raise CorpusError(
            f"task {task.name!r}, split {split!r}: token {worst} is outside the "
            f"vocabulary of {vocab_size} tokens"
        )


def _plain_text_key(offline: tuple[Callable[..., Any], ...]) -> str | None:
    """Returns the key of the text if the steps are exactly rekey and tokenize."""
    if len(offline) != 2 or offline[1] is not seqio.preprocessors.tokenize:
        return None
    rekey = offline[0]
    if not isinstance(rekey, functools.partial) or rekey.args:
        return None
    if rekey.func is not seqio.preprocessors.rekey or set(rekey.keywords) != {
        "key_map"
    }:
        return None
    return rekey.keywords["key_map"].get("targets")


def _documents(task: seqio.Task, split: str, text_key: str) -> Iterable[str]:
    if isinstance(task.source, TextSource) and text_key == "text":
        return task.source.documents(split)
    dataset = task.source.get_dataset(split=split, shuffle=False)
    try:
        return [row[text_key].decode("utf-8") for row in dataset.as_numpy_iterator()]
    except UnicodeDecodeError as error:
        raise CorpusError(
            f"task {task.name!r}, split {split!r}: a document is not UTF-8: {error}"
        ) from error


def _cached_tokens(
    task: seqio.Task, split: str, documents: Iterable[str]
) -> Int32Array:
    vocabulary = task.output_features["targets"].vocabulary
    path = _cache_path(task, split, documents, vocabulary)
    try:
        return np.load(path, allow_pickle=False)
    except FileNotFoundError:
        pass
    except (ValueError, EOFError, OSError):
        path.unlink(missing_ok=True)  # damaged: made again below, from the text
    tokens = document_tokens(documents, vocabulary)
    buffer = io.BytesIO()
    np.save(buffer, tokens, allow_pickle=False)
    write_atomically(path, buffer.getvalue())
    return tokens


def _cache_path(
    task: seqio.Task,
    split: str,
    documents: Iterable[str],
    vocabulary: seqio.Vocabulary,
) -> Path:
    digest = hashlib.sha256(_FORMAT_VERSION)
    digest.update(vocabulary_fingerprint(vocabulary).encode("utf-8"))
    for document in documents:
        content = document.encode("utf-8")
        digest.update(len(content).to_bytes(8, "little"))
        digest.update(content)
    file_name = f"{task.name}.{split}.{digest.hexdigest()[:20]}.npy"
    return cache_directory() / "tokens" / file_name.replace(":", "_")


def _pipeline_tokens(
    task: seqio.Task, split: str, offline: tuple[Callable[..., Any], ...]
) -> Iterator[Int32Array]:
    """Runs steps as SeqIO runs them before its cache, with a fixed seed."""
    dataset = task.source.get_dataset(split=split, shuffle=False)
    with seqio.map_seed_manager(0):
        for step in offline:
            dataset = seqio.add_kwargs_to_transform(
                step, sequence_length=None, output_features=task.output_features
            )(dataset)
    for row in dataset.as_numpy_iterator():
        yield np.asarray(row["targets"], np.int32)


def _join(rows: Iterator[Int32Array]) -> Int32Array:
    tokens = np.concatenate([np.zeros(0, np.int32), *rows])
    return tokens[tokens != seqio.vocabularies.PAD_ID]
