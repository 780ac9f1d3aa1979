"""Caches many splits: what there is to do, who does it, and what has come of it.

    plan = plan_caching(tasks, ["train"], root)
    for result in finish_splits(plan, run_locally(plan.jobs, setup, num_workers)):
        ...

A split is finished as soon as its last job is, so that nothing done is lost when the
rest is interrupted, and one that fails does not keep the others from being finished.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import seqio

from mtmoe.data.tasks.form import STREAM, task_form
from mtmoe.data.token_cache.content import ShardJob
from mtmoe.data.token_cache.files.integrity import verify_files
from mtmoe.data.token_cache.files.manifest import (
    SplitManifest,
    load_manifest,
    split_directory,
)
from mtmoe.data.token_cache.files.storage import Location
from mtmoe.data.token_cache.fingerprints.split import split_fingerprint
from mtmoe.data.token_cache.writer import OnProgress, finish_split, run_job, shard_jobs
from mtmoe.errors import ManifestError, MtmoeError, UnknownNameError

WRITTEN, THERE, SOUND = "written", "already there", "sound"
FAILED, STREAMED = "failed", "streamed"


@dataclass(frozen=True)
class JobOutcome:
    """How a job has ended.

    Attributes:
      job: the job.
      examples: examples of its shard.
      tokens: tokens of its shard.
      seconds: how long it took.
      error: why it failed; "" if it did not.
    """

    job: ShardJob
    examples: int = 0
    tokens: int = 0
    seconds: float = 0.0
    error: str = ""


@dataclass(frozen=True)
class SplitResult:
    """What has become of a split.

    Attributes:
      task: name of the task.
      split: name of the split.
      state: `WRITTEN`, `THERE`, `SOUND` (every byte was read), `FAILED`, or `STREAMED`
        (it cannot be cached).
      examples: examples in the cache, or documents of a text.
      tokens: tokens in the cache.
      bytes: size of its files.
      seconds: time its jobs took, one after the other.
      reason: why it failed or cannot be cached.
    """

    task: str
    split: str
    state: str
    examples: int = 0
    tokens: int = 0
    bytes: int = 0
    seconds: float = 0.0
    reason: str = ""


@dataclass
class CachingPlan:
    """What there is to do.

    Attributes:
      jobs: all jobs, those of a split and those of a task behind each other.
      decided: splits that need no job: there, failed, or streamed.
    """

    jobs: list[ShardJob] = field(default_factory=list)
    decided: list[SplitResult] = field(default_factory=list)

    @property
    def num_splits(self) -> int:
        """Splits that have jobs."""
        return len({(job.task, job.split) for job in self.jobs})


def plan_caching(
    tasks: Sequence[seqio.Task],
    splits: Sequence[str],
    root: Location,
    on_split: Callable[[int, int], None] | None = None,
) -> CachingPlan:
    """Finds out which splits have to be written, and by which jobs.

    Args:
      tasks: registered tasks.
      splits: names of splits; all of each task if there are none. A task that lacks
        one goes without.
      root: the cache directory.
      on_split: is called with the splits looked at so far and their number.

    Raises:
      UnknownNameError: no task has a split of that name.
    """
    wanted = _wanted(tasks, splits)
    plan = CachingPlan()
    for number, (task, split) in enumerate(wanted, start=1):
        form = task_form(task)
        if form.kind == STREAM:
            plan.decided.append(
                SplitResult(task.name, split, STREAMED, reason=form.reason)
            )
        else:
            _plan_split(plan, task, split, root)
        if on_split:
            on_split(number, len(wanted))
    return plan


def finish_splits(
    plan: CachingPlan, outcomes: Iterable[JobOutcome]
) -> Iterator[SplitResult]:
    """Finishes each split when its jobs have ended, and yields what became of it.

    Args:
      plan: the plan; its decided splits come first.
      outcomes: how its jobs end, in any order; a job without an outcome has failed.
    """
    yield from plan.decided
    jobs: dict[tuple[str, str], list[ShardJob]] = {}
    for job in plan.jobs:
        jobs.setdefault((job.task, job.split), []).append(job)
    ended: dict[tuple[str, str], list[JobOutcome]] = {split: [] for split in jobs}
    for outcome in outcomes:
        split = (outcome.job.task, outcome.job.split)
        ended[split].append(outcome)
        if len(ended[split]) == len(jobs[split]):
            yield _finished(jobs.pop(split), ended[split])
    for (task, name), left in jobs.items():
        reason = f"{len(left):,} of its shards were not written"
        yield SplitResult(task, name, FAILED, reason=reason)


def verify_splits(
    tasks: Sequence[seqio.Task], splits: Sequence[str], root: Location
) -> Iterator[SplitResult]:
    """Reads every byte of splits in the cache; writes nothing.

    Args:
      tasks: as of `plan_caching`.
      splits: likewise.
      root: likewise.

    Yields:
      Each split: `SOUND`, or else `FAILED` or `STREAMED`.

    Raises:
      UnknownNameError: no task has a split of that name.
    """
    for task, split in _wanted(tasks, splits):
        form = task_form(task)
        if form.kind == STREAM:
            yield SplitResult(task.name, split, STREAMED, reason=form.reason)
            continue
        started = time.monotonic()
        try:
            digest = split_fingerprint(task, split).digest
            directory = split_directory(root, task.name, split, digest)
            manifest = load_manifest(directory)
            problem = "; ".join(verify_files(directory))
        except FileNotFoundError:
            problem = "it is not cached"
        except MtmoeError as error:
            problem = str(error)
        if problem:
            yield SplitResult(task.name, split, FAILED, reason=problem)
        else:
            yield _result(manifest, SOUND, time.monotonic() - started)


def run_job_safely(job: ShardJob, on_progress: OnProgress | None = None) -> JobOutcome:
    """Runs a job and tells how it ended, whatever went wrong."""
    started = time.monotonic()
    try:
        facts = run_job(job, on_progress)
    except Exception as error:
        return JobOutcome(
            job, seconds=time.monotonic() - started, error=describe_error(error)
        )
    return JobOutcome(job, facts.examples, facts.tokens, time.monotonic() - started)


def describe_error(error: Exception) -> str:
    """Returns an error in words, with its place if it is no error of the user's."""
    if isinstance(error, MtmoeError):
        return str(error)
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({place.filename}:{place.lineno})"


def _wanted(
    tasks: Sequence[seqio.Task], splits: Sequence[str]
) -> list[tuple[seqio.Task, str]]:
    known = {split for task in tasks for split in task.splits}
    for split in splits:
        if split not in known:
            raise UnknownNameError("split", split, known, "--split")
    return [
        (task, split)
        for task in tasks
        for split in (splits or task.splits)
        if split in task.splits
    ]


def _plan_split(
    plan: CachingPlan, task: seqio.Task, split: str, root: Location
) -> None:
    try:
        jobs = shard_jobs(task, split, root)
    except MtmoeError as error:
        plan.decided.append(SplitResult(task.name, split, FAILED, reason=str(error)))
        return
    try:
        manifest = load_manifest(jobs[0].directory)
    except (FileNotFoundError, ManifestError):  # its jobs make good what is wrong
        plan.jobs += jobs
        return
    plan.decided.append(_result(manifest, THERE))


def _finished(jobs: list[ShardJob], outcomes: list[JobOutcome]) -> SplitResult:
    job, seconds = jobs[0], sum(outcome.seconds for outcome in outcomes)
    errors = [outcome.error for outcome in outcomes if outcome.error]
    if not errors:
        try:
            return _result(finish_split(jobs), WRITTEN, seconds)
        except MtmoeError as error:
            errors = [str(error)]
    more = f" (and {len(errors) - 1:,} more shards)" if len(errors) > 1 else ""
    return SplitResult(
        job.task, job.split, FAILED, seconds=seconds, reason=errors[0] + more
    )


def _result(manifest: SplitManifest, state: str, seconds: float = 0.0) -> SplitResult:
    return SplitResult(
        manifest.task,
        manifest.split,
        state,
        manifest.num_examples,
        manifest.num_tokens,
        manifest.num_bytes,
        seconds,
    )
