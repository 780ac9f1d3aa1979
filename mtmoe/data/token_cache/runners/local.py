"""Runs jobs in processes of this machine.

Each worker is a new process (spawned, since TensorFlow does not survive a fork) that is
given the jobs of one task at a time. A worker that dies costs the job it was at; a new
one takes its place. If this process goes away, however suddenly, its workers end.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import multiprocessing
import multiprocessing.connection
import os
import signal
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtmoe.data.token_cache.runners.worker_setup import WorkerSetup
from mtmoe.errors import MtmoeError

if TYPE_CHECKING:  # a worker imports TensorFlow once its stderr goes elsewhere
    from mtmoe.data.token_cache.caching import JobOutcome
    from mtmoe.data.token_cache.content import ShardJob
    from mtmoe.data.token_cache.writer import OnProgress

OnJobProgress = Callable[["ShardJob", int, int], None]
"""Is called now and then with a job and the examples and tokens it has written."""

_PROGRESS_SECONDS = 0.5
_STOP_SECONDS = 5.0

# What a worker sends, each with something: a reason, None, (examples, tokens), outcome.
_UNPREPARED, _READY, _PROGRESS, _OUTCOME = "unprepared", "ready", "progress", "outcome"


def run_locally(
    jobs: Sequence[ShardJob],
    setup: WorkerSetup,
    num_workers: int,
    on_progress: OnJobProgress | None = None,
    alone_seconds: float = 0.0,
) -> Iterator[JobOutcome]:
    """Runs jobs, and yields how each one ends, in any order.

    Closing the iterator stops the workers.

    Args:
      jobs: what to run.
      setup: what a worker needs.
      num_workers: processes; 1 runs the jobs in this one.
      on_progress: see `OnJobProgress`.
      alone_seconds: how long this process works by itself, at splits of one shard,
        before it starts others: the start of one takes longer than many a mixture.

    Raises:
      MtmoeError: a worker cannot be set up.
    """
    chunks = deque(_chunks(jobs))
    alone_until = time.monotonic() + alone_seconds
    while chunks and (
        num_workers <= 1
        or len(chunks) == 1
        or (chunks[0][0].num_shards == 1 and time.monotonic() < alone_until)
    ):
        for job in chunks.popleft():
            yield _run_here(job, on_progress)
    num_workers = min(num_workers, len(chunks))
    with contextlib.closing(_Pool(setup)) as pool:
        while chunks or pool.workers:
            while chunks and len(pool.workers) < num_workers:
                pool.add_worker(chunks.popleft())
            for worker, message in pool.wait():
                if message is None:
                    reason = pool.remove(worker)
                    yield _failed(worker.jobs.popleft(), reason)
                    if worker.jobs:
                        chunks.appendleft(list(worker.jobs))
                    continue
                kind, content = message
                if kind == _UNPREPARED:
                    raise MtmoeError(f"a worker cannot be set up: {content}")
                if kind == _READY:
                    worker.is_ready = True
                elif kind == _PROGRESS and on_progress:
                    on_progress(worker.jobs[0], *content)
                elif kind == _OUTCOME:
                    worker.jobs.popleft()
                    yield content
                    if not worker.jobs and chunks:
                        worker.give(chunks.popleft())
                    elif not worker.jobs:
                        pool.dismiss(worker)


class _Worker:
    """One process, as its parent sees it."""

    def __init__(self, setup: WorkerSetup, log: Path):
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.log = log
        self.jobs: deque[ShardJob] = deque()  # given and not ended; it is at the first
        self.is_ready = False
        self.process = context.Process(
            target=_serve, args=(theirs, setup, str(log)), daemon=True
        )
        self.process.start()
        theirs.close()  # so that the connection ends with the process

    def give(self, jobs: list[ShardJob]) -> None:
        self.jobs.extend(jobs)
        with contextlib.suppress(OSError):  # it is dead, and `wait` will say so
            self.connection.send(jobs)

    def how_it_ended(self) -> str:
        """Returns in words why the process is gone."""
        self.process.join()
        code = self.process.exitcode or 0
        how = (
            f"killed by {signal.Signals(-code).name}" if code < 0 else f"status {code}"
        )
        said = self.log.read_text("utf-8", "replace").strip().splitlines()
        last = f"; its last line: {said[-1][:300]}" if said else ""
        return f"the process that was at it has ended ({how}){last}"


class _Pool:
    """The workers there are."""

    def __init__(self, setup: WorkerSetup):
        self.workers: list[_Worker] = []
        self._setup = setup
        self._folder = tempfile.TemporaryDirectory(prefix="mtmoe-cache-")
        self._numbers = itertools.count()

    def add_worker(self, jobs: list[ShardJob]) -> None:
        log = Path(self._folder.name, f"worker-{next(self._numbers)}.log")
        worker = _Worker(self._setup, log)
        self.workers.append(worker)
        worker.give(jobs)

    def wait(self) -> Iterator[tuple[_Worker, Any]]:
        """Waits for workers to say something; yields None of one that is dead."""
        by_connection = {worker.connection: worker for worker in self.workers}
        for connection in multiprocessing.connection.wait(list(by_connection)):
            worker = by_connection[connection]  # type: ignore[index]
            try:
                message = worker.connection.recv()
            except (EOFError, OSError):
                message = None
            yield worker, message

    def remove(self, worker: _Worker) -> str:
        """Forgets a dead worker; returns why it is dead.

        Raises:
          MtmoeError: it died before its first job, as the next one would.
        """
        self.workers.remove(worker)
        reason = worker.how_it_ended()
        if not worker.is_ready:
            raise MtmoeError(f"a worker cannot be set up: {reason}")
        return reason

    def dismiss(self, worker: _Worker) -> None:
        """Ends a worker that has nothing left to do."""
        self.workers.remove(worker)
        worker.connection.close()  # which it sees
        worker.process.join(_STOP_SECONDS)
        self._stop([worker])

    def close(self) -> None:
        """Stops all workers, at whatever they are."""
        self._stop(self.workers)
        self._folder.cleanup()

    def _stop(self, workers: list[_Worker]) -> None:
        for worker in workers:
            worker.process.terminate()
        for worker in workers:
            worker.process.join(_STOP_SECONDS)
            worker.process.kill()
            worker.process.join()


def _serve(
    connection: multiprocessing.connection.Connection, setup: WorkerSetup, log: str
) -> None:
    """Runs in a worker until its parent closes the connection."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    try:
        setup.apply()
        from mtmoe.data.token_cache.caching import run_job_safely
    except Exception as error:
        connection.send((_UNPREPARED, f"{type(error).__name__}: {error}"))
        return
    connection.send((_READY, None))
    while True:
        try:
            jobs = connection.recv()
        except EOFError:
            return
        for job in jobs:
            outcome = run_job_safely(job, _reporter(connection))
            connection.send((_OUTCOME, outcome))


def _reporter(connection: multiprocessing.connection.Connection) -> OnProgress:
    """Returns a function that sends progress, not too often."""
    said = time.monotonic()

    def report(examples: int, tokens: int) -> None:
        nonlocal said
        if time.monotonic() - said > _PROGRESS_SECONDS:
            said = time.monotonic()
            connection.send((_PROGRESS, (examples, tokens)))

    return report


def _run_here(job: ShardJob, on_progress: OnJobProgress | None) -> JobOutcome:
    from mtmoe.data.token_cache.caching import run_job_safely

    report = functools.partial(on_progress, job) if on_progress else None
    return run_job_safely(job, report)


def _failed(job: ShardJob, reason: str) -> JobOutcome:
    from mtmoe.data.token_cache.caching import JobOutcome

    return JobOutcome(job, error=reason)


def _chunks(jobs: Sequence[ShardJob]) -> Iterator[list[ShardJob]]:
    """Yields jobs that one process should run one after the other.

    Shards of a large split go one by one. What makes one split of a small task mostly
    makes the others too, and a process keeps it.
    """
    for task, of_task in itertools.groupby(jobs, lambda job: job.task):
        del task
        small = []
        for job in of_task:
            if job.num_shards == 1:
                small.append(job)
            else:
                yield [job]
        if small:
            yield small
