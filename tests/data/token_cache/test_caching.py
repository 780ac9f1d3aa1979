"""Caching many splits: what is done, what is left, and what went wrong."""

from __future__ import annotations

import dataclasses

import pytest
import seqio
from cacheable_tasks import GOOD, files_of, registered

from mtmoe.data.tasks.registry import tasks_of
from mtmoe.data.token_cache.caching import (
    FAILED,
    SOUND,
    STREAMED,
    THERE,
    WRITTEN,
    finish_splits,
    plan_caching,
    run_job_safely,
    verify_splits,
)
from mtmoe.data.token_cache.runners.local import _chunks, run_locally
from mtmoe.data.token_cache.runners.worker_setup import WorkerSetup
from mtmoe.errors import UnknownNameError

pytestmark = pytest.mark.usefixtures("own_cache", "bytes_configured", "tasks")


@pytest.fixture
def tasks(tmp_path, monkeypatch):
    with registered(tmp_path, monkeypatch):
        yield


@pytest.fixture
def root(tmp_path):
    return tmp_path / "root"


def cache(mixture, root, splits=()):
    plan = plan_caching(tasks_of(mixture), splits, root)
    setup = WorkerSetup.of_this_process()
    return list(finish_splits(plan, run_locally(plan.jobs, setup, num_workers=1)))


def states(results):
    return {(r.task.removeprefix("cacheable."), r.split): r.state for r in results}


def test_all_splits_of_all_tasks_once(root):
    looked_at = []
    plan_caching(
        tasks_of("cacheable.good"), (), root, lambda *done: looked_at.append(done)
    )
    assert looked_at == [(n, 5) for n in range(1, 6)]
    assert not root.exists()  # a plan writes nothing
    results = cache("cacheable.good", root)
    assert states(results) == {
        ("lines", "train"): WRITTEN,
        ("pairs", "train"): WRITTEN,
        ("pairs", "validation"): WRITTEN,
        ("text", "train"): WRITTEN,
        ("text", "validation"): WRITTEN,
    }
    by_name = {(r.task, r.split): r for r in results}
    assert by_name["cacheable.text", "train"].examples == 20
    assert by_name["cacheable.text", "train"].tokens == 20 * 500
    assert by_name["cacheable.lines", "train"].examples == 30 + 31 + 32
    before = files_of(root)
    assert {r.state for r in cache("cacheable.good", root)} == {THERE}
    assert files_of(root) == before


def test_a_split_of_that_name_where_there_is_one(root):
    results = cache("cacheable.good", root, ["validation"])
    assert set(states(results)) == {("pairs", "validation"), ("text", "validation")}
    with pytest.raises(UnknownNameError, match="did you mean validation"):
        plan_caching(tasks_of("cacheable.good"), ["validatoin"], root)


def test_what_fails_does_not_keep_the_rest(root):
    names = ("text", "empty", "unreadable", "broken")
    seqio.MixtureRegistry.add("some", [(f"cacheable.{n}", 1) for n in names])
    results = cache("some", root, ["train"])
    assert states(results) == {
        ("text", "train"): WRITTEN,
        ("empty", "train"): FAILED,
        ("unreadable", "train"): FAILED,
        ("broken", "train"): FAILED,
    }
    reasons = {r.task: r.reason for r in results}
    assert "cacheable.empty" in reasons["cacheable.empty"]
    assert reasons["cacheable.unreadable"] == "the disk of the test is gone"
    assert "ZeroDivisionError: a mistake in a source (" in reasons["cacheable.broken"]
    assert "cacheable_tasks.py:" in reasons["cacheable.broken"]
    assert not list(root.glob("cacheable.empty/*/MANIFEST.json"))


def test_streams_are_named_with_the_reason(root):
    results = cache("cacheable.partly", root, ["train"])
    assert states(results) == {
        ("pairs", "train"): WRITTEN,
        ("stream", "train"): STREAMED,
    }
    [stream] = [r for r in results if r.state == STREAMED]
    assert "CacheDatasetPlaceholder" in stream.reason


def test_jobs_without_an_outcome_and_several_errors(root):
    plan = plan_caching(tasks_of("cacheable.lines"), (), root)
    assert plan.num_splits == 1 and len(plan.jobs) == 3
    [result] = finish_splits(plan, [run_job_safely(plan.jobs[0])])
    assert result.state == FAILED and "of its shards were not written" in result.reason
    foreign = [dataclasses.replace(job, fingerprint="0" * 64) for job in plan.jobs]
    outcomes = [
        dataclasses.replace(run_job_safely(other), job=job)
        for job, other in zip(plan.jobs, foreign, strict=True)
    ]
    assert all(outcome.error for outcome in outcomes)
    [result] = finish_splits(plan, outcomes)
    assert result.state == FAILED and result.reason.endswith("(and 2 more shards)")
    assert not list(root.glob("*/*/MANIFEST.json"))


def test_a_split_whose_file_is_gone_is_made_again(root):
    cache("cacheable.lines", root)
    before = files_of(root)
    sorted(root.glob("*/*/*.array_record"))[1].unlink()
    assert {r.state for r in cache("cacheable.lines", root)} == {WRITTEN}
    assert files_of(root) == before


def test_verifying_reads_everything_and_writes_nothing(root):
    mixture = tasks_of("cacheable.partly")
    [absent, _, _] = list(verify_splits(mixture, (), root))
    assert absent.state == FAILED and absent.reason == "it is not cached"
    cache("cacheable.partly", root)
    before = files_of(root)
    assert states(verify_splits(mixture, (), root)) == {
        ("pairs", "train"): SOUND,
        ("pairs", "validation"): SOUND,
        ("stream", "train"): STREAMED,
    }
    assert files_of(root) == before
    [path] = root.glob("cacheable.pairs/train-*/*.array_record")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    [damaged] = verify_splits(mixture[:1], ["train"], root)
    assert damaged.state == FAILED and path.name in damaged.reason
    path.unlink()
    [short] = verify_splits(mixture[:1], ["train"], root)
    assert short.state == FAILED and path.name in short.reason


def test_a_process_gets_the_small_jobs_of_a_task_together(root):
    plan = plan_caching(tasks_of("cacheable.good"), (), root)
    chunks = [[(j.task, j.split, j.shard) for j in c] for c in _chunks(plan.jobs)]
    lines, pairs, text = GOOD
    assert chunks == [
        [(lines, "train", 0)],
        [(lines, "train", 1)],
        [(lines, "train", 2)],
        [(pairs, "train", 0), (pairs, "validation", 0)],
        [(text, "train", 0), (text, "validation", 0)],
    ]
