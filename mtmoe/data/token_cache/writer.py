"""Writes a split of a task into the token cache: jobs of one shard, then the manifest.

Jobs are plain data: any runner can carry them to any process that has registered the
same tasks under the same configuration. How many there are follows from the source, so
that the files do not depend on who wrote them.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import seqio

import mtmoe
from mtmoe.data.sources.text import TextSource
from mtmoe.data.sources.values import text_problem
from mtmoe.data.tasks.form import TEXT, TaskForm, task_form
from mtmoe.data.tasks.reading import (
    check_features,
    check_text,
    is_pairs,
    num_left_out,
    reading,
)
from mtmoe.data.tasks.registry import get_task
from mtmoe.data.token_cache.encoding import (
    encode_texts,
    plain_text_key,
    without_padding,
)
from mtmoe.data.token_cache.files.manifest import (
    ShardFacts,
    SplitManifest,
    split_directory,
    write_manifest,
)
from mtmoe.data.token_cache.files.shard_file import (
    ShardContent,
    write_example_shard,
    write_text_shard,
)
from mtmoe.data.token_cache.files.storage import (
    Location,
    file_size,
    join,
    read_file,
    write_file,
)
from mtmoe.data.token_cache.fingerprints.split import Fingerprint, split_fingerprint
from mtmoe.errors import ConfigError, CorpusError, EmptySplitError, ManifestError

Int32Array = npt.NDArray[np.int32]
OnProgress = Callable[[int, int], None]
"""Is called now and then with the examples and tokens of the shard written so far."""

_TOLD_EVERY = 256  # examples
_PACKAGES = ("seqio", "sentencepiece", "tensorflow", "tensorflow-text", "t5")


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


def shard_jobs(task: seqio.Task, split: str, root: Location) -> list[ShardJob]:
    """Returns the jobs that write a split, one a shard; writes nothing.

    A shard is a file of the source, if it is of files that SeqIO, or a `TextSource`,
    can read one by one; otherwise it is the whole split.

    Args:
      task: a registered task that is text or examples (`task_form`).
      split: one of its splits.
      root: a cache directory.

    Raises:
      UnknownNameError: the task has no such split.
      ConfigError: the task is a stream, or its content cannot be named.
      CorpusError: the source cannot be opened.
    """
    digest = split_fingerprint(task, split).digest
    return _jobs(task, split, split_directory(root, task.name, split, digest), digest)


def run_job(job: ShardJob, on_progress: OnProgress | None = None) -> ShardFacts:
    """Writes a shard and its facts; if they are there already, returns the facts.

    The files and then their facts appear by rename: a killed job leaves nothing that
    looks finished, and running it again gives the same bytes.

    Args:
      job: what to write.
      on_progress: see `OnProgress`.

    Raises:
      UnknownNameError: the job's task is not registered in this process.
      ConfigError: the job was made of another content: its fingerprint differs here.
      CorpusError: text that cannot be read, or a token outside the vocabulary.
    """
    return write_shard(get_task(job.task), job, on_progress)


def write_shard(
    task: seqio.Task, job: ShardJob, on_progress: OnProgress | None = None
) -> ShardFacts:
    """Does what `run_job` does, for a task that need not be registered."""
    done = _facts_of_done(job)
    if done is not None:
        return done
    _check_unchanged(task, job)
    form = task_form(task)
    content = ShardContent(
        directory=job.directory,
        shard=job.shard,
        num_shards=job.num_shards,
        vocab_size=_vocab_size(task, form),
        origin=f"task {task.name!r}, split {job.split!r}",
    )
    told = _Told(on_progress, form.features)
    examples = _encoded(task, form, job)
    if form.kind == TEXT:
        documents = (without_padding(document) for (document,) in examples)
        facts = write_text_shard(content, told.documents(documents))
    else:
        facts = write_example_shard(
            content, told.examples(examples), len(form.features)
        )
    told.finish()
    facts = dataclasses.replace(
        facts, left_out=num_left_out(task.source, job.split), empty=told.empty
    )
    written = {"fingerprint": job.fingerprint, "shard": facts.to_json()}
    write_file(_facts_path(job), json.dumps(written, indent=1).encode("utf-8"))
    return facts


def finish_split(jobs: Sequence[ShardJob]) -> SplitManifest:
    """Writes the manifest of a split whose jobs have all run.

    Args:
      jobs: all jobs of the split, as `shard_jobs` gave them.

    Raises:
      CorpusError: shards are missing or of another size, or there are no examples; no
        manifest is written.
      ConfigError: the content has changed since the jobs were made.
    """
    return write_split_manifest(get_task(jobs[0].task), jobs)


def write_split_manifest(task: seqio.Task, jobs: Sequence[ShardJob]) -> SplitManifest:
    """Does what `finish_split` does, for a task that need not be registered."""
    first, form = jobs[0], task_form(task)
    facts = [_facts_of_done(job) for job in jobs]
    missing = [job.shard for job, done in zip(jobs, facts, strict=True) if done is None]
    if missing or len(jobs) != first.num_shards:
        listed = ", ".join(map(str, missing[:20])) or "unknown"
        raise CorpusError(
            f"task {first.task!r}, split {first.split!r}: {len(missing)} of "
            f"{first.num_shards} shards are not written in {first.directory}: {listed}"
        )
    shards = tuple(done for done in facts if done is not None)
    if not sum(shard.tokens for shard in shards):
        num_examples = sum(shard.examples for shard in shards)
        empty = f"nothing but {num_examples} empty examples" if num_examples else ""
        what = "no text" if form.kind == TEXT else empty or "no examples"
        raise EmptySplitError(
            f"task {first.task!r} has {what} in split {first.split!r}"
        )
    now = _check_unchanged(task, first)
    manifest = SplitManifest(
        task=task.name,
        split=first.split,
        kind=form.kind,
        features=form.features,
        vocab_size=_vocab_size(task, form),
        fingerprint=first.fingerprint,
        facts=now.facts,
        versions=_versions(),
        shards=shards,
    )
    write_manifest(first.directory, manifest)
    return manifest


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
    for job in _jobs(task, split):
        for example in _encoded(task, form, job):
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
        jobs = _jobs(task, split)
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
    for job in _jobs(task, split):
        yield from _rows(task, form, job)


def _jobs(
    task: seqio.Task, split: str, directory: str = "", fingerprint: str = ""
) -> list[ShardJob]:
    """The shards of a split in order; without a directory they are only read."""
    with reading(task, split):
        num_shards = _num_shards(task, split)
    return [
        ShardJob(task.name, split, shard, num_shards, directory, fingerprint)
        for shard in range(num_shards)
    ]


class _Told:
    """Counts what goes by, and tells it now and then.

    Attributes:
      empty: examples without tokens, by feature; features without such are left out.
    """

    def __init__(self, on_progress: OnProgress | None, features: Sequence[str]):
        self.empty: dict[str, int] = {}
        self._features = tuple(features)
        self._on_progress = on_progress
        self._examples = 0
        self._tokens = 0

    def documents(self, documents: Iterable[Int32Array]) -> Iterator[Int32Array]:
        for document in documents:
            self._count(len(document))
            yield document

    def examples(
        self, examples: Iterable[tuple[Int32Array, ...]]
    ) -> Iterator[tuple[Int32Array, ...]]:
        for example in examples:
            sizes = list(map(len, example))
            if not all(sizes):
                for name, size in zip(self._features, sizes, strict=True):
                    if not size:
                        self.empty[name] = self.empty.get(name, 0) + 1
            self._count(sum(sizes))
            yield example

    def finish(self) -> None:
        if self._on_progress is not None:
            self._on_progress(self._examples, self._tokens)

    def _count(self, tokens: int) -> None:
        self._examples += 1
        self._tokens += tokens
        if self._examples % _TOLD_EVERY == 0:
            self.finish()


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


def _encoded(
    task: seqio.Task, form: TaskForm, job: ShardJob
) -> Iterator[tuple[Int32Array, ...]]:
    """Yields the tokens of each feature of the shard's examples."""
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


def _vocab_size(task: seqio.Task, form: TaskForm) -> int:
    return max(task.output_features[n].vocabulary.vocab_size for n in form.features)


def _check_unchanged(task: seqio.Task, job: ShardJob) -> Fingerprint:
    now = split_fingerprint(task, job.split)
    if now.digest != job.fingerprint:
        raise ConfigError(
            f"task {task.name!r}, split {job.split!r} is not what it was when writing "
            f"{job.directory} began: its source, steps, vocabulary or code differ now"
        )
    return now


def _facts_path(job: ShardJob) -> str:
    return join(job.directory, f"facts-{job.shard:05d}-of-{job.num_shards:05d}.json")


def _facts_of_done(job: ShardJob) -> ShardFacts | None:
    """Returns the facts of a shard that is written, None if it is not."""
    try:
        written = json.loads(read_file(_facts_path(job)))
        facts = ShardFacts.from_json(written["shard"])
    except (FileNotFoundError, ValueError, LookupError, TypeError, ManifestError):
        return None
    sizes = {facts.name: facts.bytes, facts.index_name: facts.index_bytes}
    is_whole = all(
        file_size(join(job.directory, name)) == size for name, size in sizes.items()
    )
    is_same = written.get("fingerprint") == job.fingerprint
    return facts if is_whole and is_same else None


@functools.lru_cache(maxsize=1)
def _versions() -> dict[str, str]:
    versions = {"mtmoe": mtmoe.__version__}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
