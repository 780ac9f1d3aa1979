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
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import seqio

import mtmoe
from mtmoe.data.tasks.form import TEXT, TaskForm, task_form
from mtmoe.data.tasks.reading import (
    num_left_out,
)
from mtmoe.data.tasks.registry import get_task
from mtmoe.data.token_cache.content import ShardJob, encoded, split_jobs
from mtmoe.data.token_cache.encoding import (
    without_padding,
)
from mtmoe.data.token_cache.files.manifest import (
    SplitManifest,
    split_directory,
    write_manifest,
)
from mtmoe.data.token_cache.files.shard_facts import ShardFacts
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
    return split_jobs(
        task, split, split_directory(root, task.name, split, digest), digest
    )


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
    examples = encoded(task, form, job)
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
