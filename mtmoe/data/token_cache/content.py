"""What a cache of a split holds, read from its source: shards, documents, examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import seqio

from mtmoe.data.sources.text import TextSource
from mtmoe.data.sources.values import text_problem
from mtmoe.data.tasks.form import TEXT, TaskForm, task_form
from mtmoe.data.tasks.reading import (
    check_features,
    check_text,
    is_pairs,
    reading,
)
from mtmoe.data.token_cache.encoding import (
    encode_texts,
    plain_text_key,
    without_padding,
)
from mtmoe.errors import ConfigError, CorpusError

Int32Array = npt.NDArray[np.int32]
OnProgress = Callable[[int, int], None]
"""Is called now and then with the examples and tokens of the shard written so far."""


@dataclass(frozen=True)
class ShardJob:
    """One file of a split to write.

    Attributes:
      task: name of a registered task.
      split: one of its splits.
      shard: number of the file, from 0.
      num_shards: files of the split.
      directory: folder of the split's files.
      fingerprint: digest of `split_fingerprint` when the job was made.
    """

    task: str
    split: str
    shard: int
    num_shards: int
    directory: str
    fingerprint: str


def uncached_examples(task: seqio.Task, split: str) -> Iterator[tuple[Int32Array, ...]]:
    """Yields what a cache of a split holds, in its order, without writing one.

    Args:
      task: a task that is text or examples (`task_form`).
      split: one of its splits.

    Yields:
      The tokens of each feature of an example; of a text, of a document.

    Raises:
      CorpusError: the source cannot be opened, or text that cannot be read.
    """
    form = task_form(task)
    for job in split_jobs(task, split):
        for example in encoded(task, form, job):
            if form.kind == TEXT:
                yield (without_padding(example[0]),)
            else:
                yield example


def target_texts(task: seqio.Task, split: str) -> Iterator[str] | None:
    """Returns the texts whose tokens a cache of a split holds as targets, in its order.

    None if the steps do more than tokenise them; `uncached_rows` has them then.
    """
    form = task_form(task)
    key = plain_text_key(form.offline)
    if form.kind == TEXT and key is not None:
        jobs = split_jobs(task, split)
        return (text for job in jobs for text in _documents(task, job, key))
    if is_pairs(task):
        targets = [example["targets"] for example in task.source.examples(split)]
        texts = [text for text in targets if isinstance(text, str)]
        if len(texts) == len(targets):
            return iter(texts)
    return None


def uncached_rows(task: seqio.Task, split: str) -> Iterator[Mapping[str, Any]]:
    """Yields what the steps before the cache make of a split, all fields of it."""
    form = task_form(task)
    for job in split_jobs(task, split):
        yield from _rows(task, form, job)


def split_jobs(
    task: seqio.Task, split: str, directory: str = "", fingerprint: str = ""
) -> list[ShardJob]:
    """Returns the shards of a split in order; without a directory, only to be read."""
    with reading(task, split):
        num_shards = _num_shards(task, split)
    return [
        ShardJob(task.name, split, shard, num_shards, directory, fingerprint)
        for shard in range(num_shards)
    ]


def _num_shards(task: seqio.Task, split: str) -> int:
    source = task.source
    if isinstance(source, TextSource):
        is_plain = plain_text_key(task_form(task).offline) == "text"
        return source.num_parts(split) if is_plain else 1
    if isinstance(source, seqio.FunctionDataSource):
        return 1
    if isinstance(source, seqio.TfdsDataSource):
        return len(source.list_shards(split)) if is_prepared(source, split) else 1
    return max(len(source.list_shards(split)), 1)


def is_prepared(source: seqio.TfdsDataSource, split: str) -> bool:
    """Whether TFDS knows the files of a split, after preparing it if need be.

    It never does where a test puts made-up examples in their place.
    """
    builder = source.tfds_dataset._get_builder(split)
    if not builder.info.splits:
        builder.download_and_prepare()
    return bool(builder.info.splits)


def encoded(
    task: seqio.Task, form: TaskForm, job: ShardJob
) -> Iterator[tuple[Int32Array, ...]]:
    """Returns the tokens of each feature of the shard's examples."""
    split = job.split
    vocabularies = [task.output_features[n].vocabulary for n in form.features]
    if form.kind == TEXT:
        key = plain_text_key(form.offline)
        if key is not None:
            texts = _documents(task, job, key)
            return ((tokens,) for tokens in encode_texts(texts, vocabularies[0]))
    elif is_pairs(task):
        with reading(task, split):
            examples = task.source.examples(split)
            check_features(task, split, examples)
        sides = [
            encode_texts([x[name] for x in examples], vocabulary)
            for name, vocabulary in zip(form.features, vocabularies, strict=True)
        ]
        return zip(*sides, strict=True)
    return _run_steps(task, form, job)


def _documents(task: seqio.Task, job: ShardJob, text_key: str) -> Iterator[str]:
    with reading(task, job.split):
        if isinstance(task.source, TextSource) and text_key == "text":
            yield from task.source.part(job.split, job.shard)
            return
        for number, row in enumerate(_dataset(task, job).as_numpy_iterator(), start=1):
            where = f"task {task.name!r}, split {job.split!r}, document {number:,}"
            text = row.get(text_key)
            if not isinstance(text, bytes):
                problem = text_problem(text)
                raise CorpusError(f'{where}: "{text_key}" {problem}; a text is wanted')
            try:
                yield text.decode("utf-8")
            except UnicodeDecodeError as error:
                raise CorpusError(f"{where} is not UTF-8: {error}") from error


def _run_steps(
    task: seqio.Task, form: TaskForm, job: ShardJob
) -> Iterator[tuple[Int32Array, ...]]:
    for row in _rows(task, form, job):
        yield tuple(_tokens(task, row, name) for name in form.features)


def _rows(
    task: seqio.Task, form: TaskForm, job: ShardJob
) -> Iterator[Mapping[str, Any]]:
    """Runs steps as SeqIO runs them before its cache; a shard's number is its seed."""
    with reading(task, job.split):
        dataset = _dataset(task, job)
        with seqio.map_seed_manager(job.shard):
            for step in form.offline:
                dataset = seqio.add_kwargs_to_transform(
                    step, sequence_length=None, output_features=task.output_features
                )(dataset)
        for number, row in enumerate(dataset.as_numpy_iterator(), start=1):
            check_text(task, job.split, number, row)
            yield row


def _tokens(task: seqio.Task, row: Any, feature: str) -> Int32Array:
    if feature not in row:
        raise ConfigError(
            f"task {task.name!r}: the steps before the cache give no {feature!r}, "
            f"but {', '.join(map(repr, row))}"
        )
    tokens = np.asarray(row[feature])
    if tokens.ndim != 1 or not np.issubdtype(tokens.dtype, np.integer):
        raise ConfigError(
            f"task {task.name!r}: the steps before the cache give {feature!r} of type "
            f"{tokens.dtype} and shape {tokens.shape}; a list of tokens is needed"
        )
    return tokens.astype(np.int32, copy=False)


def _dataset(task: seqio.Task, job: ShardJob) -> Any:
    shard_info = (
        seqio.ShardInfo(index=job.shard, num_shards=job.num_shards)
        if job.num_shards > 1
        else None
    )
    return task.source.get_dataset(
        split=job.split, shuffle=False, shard_info=shard_info
    )
