"""Writes the tokens of a mixture to disk, once, so that training starts at once.

    mtmoe cache --mixture=embedded.multitask
    mtmoe cache --mixture=embedded.multitask --split=train --output_dir=tokens
    mtmoe cache --mixture=embedded.multitask --verify

The first two write what is not there yet, and go on after any interruption; --verify
reads every byte of it instead. docs/cache.md has the details.

Exit status: 0 all is there; 1 something failed, or is not sound; 3 the mixture has
tasks that cannot be cached, all others are there; 2 a mistake of yours.
"""

from __future__ import annotations

import ast
import os
import shlex
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from absl import flags

from mtmoe.cli.cache_progress import CachingProgress
from mtmoe.cli.number_flags import define_number
from mtmoe.cli.quiet import without_sentencepiece_notes
from mtmoe.cli.shared_flags import define_task_flags, register_tasks
from mtmoe.cli.terminal import table
from mtmoe.errors import MtmoeError
from mtmoe.progress import Progress
from mtmoe.ranges import Count, Natural
from mtmoe.report.wording import compact
from mtmoe.startup.importing import import_tensorflow

if TYPE_CHECKING:
    import seqio

    from mtmoe.config.load import Config
    from mtmoe.data.token_cache.caching import CachingPlan, JobOutcome, SplitResult
    from mtmoe.data.token_cache.content import ShardJob

FLAGS = flags.FLAGS
FAILED_STATUS = 1
STREAMED_STATUS = 3
_HEADINGS = ("task", "split", "examples", "tokens", "bytes", "seconds", "")
_ALONE_SECONDS = 20.0  # about what it takes a worker to start


def define_flags() -> None:
    """Defines the flags of `mtmoe cache`."""
    define_task_flags()
    flags.DEFINE_string("mixture", None, "mixture or task; the run's by default")
    flags.DEFINE_multi_string("split", [], "a split; all by default; may be repeated")
    flags.DEFINE_string(
        "output_dir", None, "where to write; by default where tasks look"
    )
    flags.DEFINE_enum("runner", "local", ["local", "beam"], "who does the work")
    flags.DEFINE_string("beam_options", "", "Beam's own: '--runner=R --project=P ...'")
    define_number("num_workers", None, "local processes; all cores by default", Count)
    define_number("rows", 40, "rows of the table; 0 for all", Natural)
    flags.DEFINE_boolean("verify", False, "read all of what is there, write nothing")


def run(argv: list[str]) -> int:
    """Caches or verifies; returns the exit status.

    Raises:
      MtmoeError: a flag, a name or a source cannot be used.
    """
    if len(argv) > 1:
        raise MtmoeError("usage: mtmoe cache --mixture=NAME [--split=train ...]")
    _check_flags()
    import_tensorflow()
    with os.fdopen(os.dup(2), "w") as stderr, without_sentencepiece_notes():
        return _cache(stderr)


def _check_flags() -> None:
    if FLAGS.beam_options and FLAGS.runner != "beam":
        raise MtmoeError("--beam_options can be used with --runner=beam only")
    if FLAGS.num_workers and FLAGS.runner != "local":
        raise MtmoeError(
            "--num_workers can be used with --runner=local only; Beam's own options "
            "say how many it has"
        )


def _cache(stderr: TextIO) -> int:
    from mtmoe.data.tasks.registry import tasks_of
    from mtmoe.data.token_cache.building import default_root

    config = register_tasks()
    mixture = FLAGS.mixture or _bound(config, "mixture")
    if not mixture:
        raise MtmoeError("usage: mtmoe cache --mixture=NAME [--split=train ...]")
    tasks = tasks_of(mixture)
    root = FLAGS.output_dir or str(default_root())
    started = time.monotonic()
    _check_some_can_be_cached(tasks)
    if FLAGS.verify:
        results = _verified(tasks, root, stderr)
    else:
        results = _written(tasks, root, config, stderr)
    _print(results, root, time.monotonic() - started)
    return _status(results)


def _check_some_can_be_cached(tasks: Sequence[seqio.Task]) -> None:
    from mtmoe.data.tasks.form import STREAM, task_form

    forms = [(task, task_form(task)) for task in tasks]
    streams = [(task, form) for task, form in forms if form.kind == STREAM]
    if len(streams) == len(forms):
        listed = [f"  {task.name}: {form.reason}" for task, form in streams]
        raise MtmoeError("\n".join(["nothing here can be cached:", *listed[:20]]))


def _verified(
    tasks: Sequence[seqio.Task], root: str, stderr: TextIO
) -> list[SplitResult]:
    from mtmoe.data.token_cache.caching import verify_splits

    total = sum(len(FLAGS.split or task.splits) for task in tasks)
    progress = Progress("splits", total, stderr)
    results: list[SplitResult] = []
    for result in verify_splits(tasks, FLAGS.split, root):
        results.append(result)
        progress.show(len(results))
    progress.erase_line()
    return results


def _written(
    tasks: Sequence[seqio.Task], root: str, config: Config | None, stderr: TextIO
) -> list[SplitResult]:
    from mtmoe.data.token_cache.caching import finish_splits, plan_caching

    total = sum(len(FLAGS.split or task.splits) for task in tasks)
    looking = Progress("looked at splits", total, stderr)
    plan = plan_caching(tasks, FLAGS.split, root, lambda done, _: looking.show(done))
    looking.erase_line()
    return list(finish_splits(plan, _outcomes(plan, root, config, stderr)))


def _outcomes(
    plan: CachingPlan, root: str, config: Config | None, stderr: TextIO
) -> Iterator[JobOutcome]:
    """Runs the jobs of a plan, and shows how far that is."""
    from mtmoe.data.token_cache.runners.local import run_locally
    from mtmoe.data.token_cache.runners.worker_setup import WorkerSetup

    if not plan.jobs:
        return
    setup = WorkerSetup.of_this_process(config.text if config else None)
    progress = CachingProgress("shards", len(plan.jobs), stderr)
    begun: dict[ShardJob, int] = {}
    done = examples = 0

    def on_progress(job: ShardJob, examples_of_job: int, tokens: int) -> None:
        begun[job] = examples_of_job
        progress.show_examples(done, examples + sum(begun.values()))

    outcomes: Iterable[JobOutcome]
    if FLAGS.runner == "beam":
        from mtmoe.data.token_cache.runners.beam import run_on_beam

        beam_options = shlex.split(FLAGS.beam_options)
        outcomes = run_on_beam(plan.jobs, setup, root, beam_options)
    else:
        outcomes = run_locally(
            plan.jobs,
            setup,
            FLAGS.num_workers or os.cpu_count() or 1,
            on_progress,
            alone_seconds=0.0 if FLAGS.num_workers else _ALONE_SECONDS,
        )
    try:
        for outcome in outcomes:
            begun.pop(outcome.job, None)
            done, examples = done + 1, examples + outcome.examples
            progress.show_examples(done, examples + sum(begun.values()))
            yield outcome
    finally:
        progress.erase_line()


def _print(results: Sequence[SplitResult], root: str, seconds: float) -> None:
    from mtmoe.data.token_cache.caching import FAILED, STREAMED

    cached = [r for r in results if r.state not in (FAILED, STREAMED)]
    cached.sort(key=lambda result: -result.tokens)
    if cached:
        shown = cached[: FLAGS.rows or None]
        rows = [[r.task, r.split, *_numbers([r]), r.state] for r in shown]
        if left_out := cached[len(shown) :]:
            rows.append([f"... {len(left_out):,} more", "", *_numbers(left_out), ""])
        rows.append(["total", "", *_numbers(cached), ""])
        print(table(_HEADINGS, rows, right=range(2, 6)))
    for state, title in ((STREAMED, "cannot be cached"), (FAILED, "failed")):
        found = [r for r in results if r.state == state]
        if found:
            print(f"\n{title}:")
            print("\n".join(f"  {r.task} {r.split}: {r.reason}" for r in found))
    counts = {state: 0 for state in dict.fromkeys(r.state for r in results)}
    for result in results:
        counts[result.state] += 1
    told = ", ".join(f"{count:,} {state}" for state, count in counts.items())
    print(f"\n{len(results):,} splits: {told}; {seconds:.0f} s, in {root}")


def _numbers(results: Sequence[SplitResult]) -> list[str]:
    return [
        f"{sum(r.examples for r in results):,}",
        f"{sum(r.tokens for r in results):,}",
        compact(sum(r.bytes for r in results)),
        f"{sum(r.seconds for r in results):.1f}",
    ]


def _status(results: Sequence[SplitResult]) -> int:
    from mtmoe.data.token_cache.caching import FAILED, STREAMED

    states = {result.state for result in results}
    if FAILED in states:
        return FAILED_STATUS
    return STREAMED_STATUS if STREAMED in states else 0


def _bound(config: Config | None, name: str) -> Any:
    """Returns what the configuration binds of the run; None if it does not."""
    text = config.bindings.get(f"train.{name}") if config else None
    return None if text is None else ast.literal_eval(text)
