"""Runs jobs in an Apache Beam pipeline, one element a job.

The same jobs write the same files as `local_runner` does, on whatever cluster Beam's
options name. Workers need mtmoe, the modules of the tasks, and the cache directory
within reach (`gs://...`, or a file system that all of them mount).

Beam is an extra of mtmoe, and takes seconds to import: functions import it.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import json
import os
import secrets
import tempfile
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from mtmoe.data.token_cache.caching import JobOutcome, run_job_safely
from mtmoe.data.token_cache.content import ShardJob
from mtmoe.data.token_cache.files.storage import Location, is_remote, join
from mtmoe.data.token_cache.runners.worker_setup import WorkerSetup
from mtmoe.errors import MtmoeError, UnknownNameError

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

_ON_THIS_MACHINE = (None, "DirectRunner")


def run_on_beam(
    jobs: Sequence[ShardJob],
    setup: WorkerSetup,
    root: Location,
    beam_options: Sequence[str] = (),
) -> Iterator[JobOutcome]:
    """Runs jobs, and yields how each one has ended, once all of them have.

    A job that fails does not fail the pipeline, so that the others are finished.

    Args:
      jobs: what to run.
      setup: what a worker needs.
      root: the cache directory, in which workers tell how their jobs ended.
      beam_options: Beam's own, as `--runner=DataflowRunner`. Without a runner, or with
        DirectRunner, the pipeline runs on this machine by Beam's Python runner.

    Raises:
      UnknownNameError: Beam has no such option.
      MtmoeError: Beam is not installed, or the pipeline failed as a whole.
    """
    try:
        import apache_beam as beam
    except ImportError as error:
        raise MtmoeError(
            f"Apache Beam cannot be imported ({error}); pip install 'mtmoe[beam]'"
        ) from error
    options = pipeline_options(beam_options)
    if not jobs:
        return
    with _folder_of_outcomes(root) as folder:
        pipeline = beam.Pipeline(runner=_runner(options), options=options)
        _ = (
            pipeline
            | "Jobs" >> beam.Create([dataclasses.asdict(job) for job in jobs])
            | "Spread" >> beam.Reshuffle()
            | "Write" >> beam.Map(functools.partial(_write_shard, setup))
            | "Tell" >> beam.io.WriteToText(join(folder, "outcomes"), ".jsonl")
        )
        try:
            pipeline.run().wait_until_finish()
        except Exception as error:
            raise MtmoeError(f"the Beam pipeline failed: {error}") from error
        yield from _read_outcomes(folder)


def pipeline_options(beam_options: Sequence[str]) -> PipelineOptions:
    """Returns Beam's options.

    Beam itself passes over options that it does not know.

    Raises:
      UnknownNameError: there is no option of that name.
      MtmoeError: an option has a value it cannot have.
    """
    from apache_beam.options.pipeline_options import PipelineOptions

    options = PipelineOptions(list(beam_options))
    parser = argparse.ArgumentParser(
        add_help=False, allow_abbrev=False, conflict_handler="resolve"
    )
    for group in PipelineOptions.__subclasses__():
        with contextlib.suppress(AttributeError):
            group._add_argparse_args(parser)
    for option in beam_options:
        name = option.partition("=")[0]
        if name.startswith("--") and name not in parser._option_string_actions:
            raise UnknownNameError(
                "option of Beam", name, parser._option_string_actions, "--beam_options"
            )
    try:
        options.get_all_options()
    except SystemExit as error:  # argparse has written what is wrong to stderr
        given = " ".join(beam_options)
        raise MtmoeError(f"--beam_options={given!r} cannot be used") from error
    return options


def _write_shard(setup: WorkerSetup, job: dict[str, Any]) -> str:
    """Runs a job in a worker; returns its outcome as a line of JSON."""
    setup.apply()  # costs nothing when it is in force
    outcome = run_job_safely(ShardJob(**job))
    return json.dumps(dataclasses.asdict(outcome))


def _runner(options: PipelineOptions) -> Any:
    """Returns the runner of this machine, or None for the one the options name.

    What Beam calls DirectRunner may hand over to a runner that it first downloads, and
    that knows nothing of direct_num_workers.
    """
    from apache_beam.options.pipeline_options import StandardOptions
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner

    name = options.view_as(StandardOptions).runner
    return FnApiRunner() if name in _ON_THIS_MACHINE else None


@contextlib.contextmanager
def _folder_of_outcomes(root: Location) -> Iterator[str]:
    if not is_remote(root):
        os.makedirs(root, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".outcomes-", dir=root) as folder:
            yield folder
        return
    folder = join(root, f".outcomes-{secrets.token_hex(8)}")
    try:
        yield folder
    finally:
        tf.io.gfile.rmtree(folder)


def _read_outcomes(folder: str) -> Iterator[JobOutcome]:
    for path in sorted(tf.io.gfile.glob(join(folder, "outcomes*"))):
        with tf.io.gfile.GFile(path) as file:
            for line in file:
                facts = json.loads(line)
                yield JobOutcome(**{**facts, "job": ShardJob(**facts["job"])})
