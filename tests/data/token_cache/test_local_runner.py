"""Several processes: the same files as one writes, and a death that is reported."""

from __future__ import annotations

import gin
import pytest
from cacheable_tasks import files_of, registered
from oracles.forked_commands import ForkedContext

from mtmoe.data.tasks import registry
from mtmoe.data.tasks.registry import tasks_of
from mtmoe.data.token_cache.caching import FAILED, WRITTEN, finish_splits, plan_caching
from mtmoe.data.token_cache.runners import local as local_runner
from mtmoe.data.token_cache.runners.local import run_locally
from mtmoe.data.token_cache.runners.worker_setup import WorkerSetup
from mtmoe.errors import MtmoeError

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("own_cache", "bytes_configured"),
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "_imported", ["cacheable_tasks"])
    with registered(tmp_path, monkeypatch):
        yield tmp_path


@pytest.fixture(autouse=True)
def forked(monkeypatch):
    """Workers import nothing anew; test_cache_command.py has some that are spawned."""
    context = {"spawn": ForkedContext()}
    monkeypatch.setattr(local_runner.multiprocessing, "get_context", context.get)


def cache(mixture, root, num_workers, on_progress=None, setup=None, alone=0.0):
    plan = plan_caching(tasks_of(mixture), (), root)
    setup = setup or WorkerSetup.of_this_process()
    outcomes = run_locally(plan.jobs, setup, num_workers, on_progress, alone)
    return {(r.task, r.split): r for r in finish_splits(plan, outcomes)}


def test_two_processes_and_a_death(folder):
    """A task kills its process: it alone fails, and what was given with it goes on."""
    (folder / "deadly").touch()
    results = cache("cacheable.bad", folder / "two", 2)
    states = {r.task: r.state for r in results.values()}
    failed = {name for name, state in states.items() if state == FAILED}
    assert failed == {
        "cacheable.broken",
        "cacheable.deadly",
        "cacheable.empty",
        "cacheable.unreadable",
    }
    for split in ("train", "validation"):
        death = results["cacheable.deadly", split]
        assert death.state == FAILED
        assert "has ended (killed by SIGKILL)" in death.reason
        assert "about to die" in death.reason
    written = {r.task for r in results.values() if r.state == WRITTEN}
    cache("cacheable.good", folder / "one", 1)
    one, two = files_of(folder / "one"), files_of(folder / "two")
    assert {name.partition("/")[0] for name in one} == written
    assert {n: c for n, c in two.items() if n.partition("/")[0] in written} == one
    (folder / "deadly").unlink()
    deadly = cache("cacheable.deadly", folder / "two", 1)
    assert {r.state for r in deadly.values()} == {WRITTEN}


def test_a_worker_that_cannot_be_set_up(folder):
    setup = WorkerSetup(("no_such_module",), (), gin.config_str())
    with pytest.raises(MtmoeError, match="cannot be set up: .*no_such_module"):
        cache("cacheable.good", folder / "root", 2, setup=setup)


def test_small_splits_need_no_worker_at_first(folder):
    """For a while this process works alone, but not at shards of a large split."""
    setup = WorkerSetup(("no_such_module",), (), gin.config_str())
    plan = plan_caching(tasks_of("cacheable.good"), (), folder / "alone")
    small = [job for job in plan.jobs if job.num_shards == 1]
    assert 0 < len(small) < len(plan.jobs)
    done = [outcome.job for outcome in run_locally(small, setup, 2, None, 1e9)]
    assert sorted(map(repr, done)) == sorted(map(repr, small))
    with pytest.raises(MtmoeError, match="cannot be set up"):
        cache("cacheable.good", folder / "alone", 2, setup=setup, alone=1e9)
