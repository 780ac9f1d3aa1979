"""Beam with several workers writes the files that this process writes."""

from __future__ import annotations

import sys

import pytest
from cacheable_tasks import files_of, registered

from mtmoe.data.tasks import registry
from mtmoe.data.tasks.registry import tasks_of
from mtmoe.data.token_cache.caching import (
    FAILED,
    WRITTEN,
    finish_splits,
    plan_caching,
)
from mtmoe.data.token_cache.runners.beam import pipeline_options, run_on_beam
from mtmoe.data.token_cache.runners.local import run_locally
from mtmoe.data.token_cache.runners.worker_setup import WorkerSetup
from mtmoe.errors import MtmoeError, UnknownNameError

pytestmark = pytest.mark.usefixtures("own_cache", "bytes_configured")

TWO_WORKERS = ("--direct_num_workers=2", "--direct_running_mode=multi_processing")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "_imported", ["cacheable_tasks"])
    with registered(tmp_path, monkeypatch):
        yield tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("options", [TWO_WORKERS, ("--runner=DirectRunner",)])
def test_beam_writes_the_same_files(folder, options):
    pytest.importorskip("apache_beam")
    setup = WorkerSetup.of_this_process()
    plan = plan_caching(tasks_of("cacheable.good"), (), folder / "beam")
    outcomes = list(run_on_beam(plan.jobs, setup, folder / "beam", options))
    assert {outcome.job for outcome in outcomes} == set(plan.jobs)
    assert {r.state for r in finish_splits(plan, outcomes)} == {WRITTEN}
    here = plan_caching(tasks_of("cacheable.good"), (), folder / "here")
    list(finish_splits(here, run_locally(here.jobs, setup, 1)))
    assert files_of(folder / "beam") == files_of(folder / "here")


def test_a_job_that_fails_does_not_fail_the_pipeline(folder):
    pytest.importorskip("apache_beam")
    tasks = (*tasks_of("cacheable.unreadable"), *tasks_of("cacheable.pairs"))
    plan = plan_caching(tasks, ["train"], folder / "beam")
    setup = WorkerSetup.of_this_process()
    outcomes = run_on_beam(plan.jobs, setup, folder / "beam")
    results = {r.task: r for r in finish_splits(plan, outcomes)}
    assert results["cacheable.pairs"].state == WRITTEN
    assert results["cacheable.unreadable"].state == FAILED
    assert results["cacheable.unreadable"].reason == "the disk of the test is gone"
    assert list(run_on_beam([], setup, folder / "beam")) == []


def test_a_pipeline_that_fails_as_a_whole(folder):
    pytest.importorskip("apache_beam")
    plan = plan_caching(tasks_of("cacheable.pairs"), (), folder / "beam")
    setup = WorkerSetup(("no_such_module",), (), "")
    with pytest.raises(MtmoeError, match="pipeline failed: .*no_such_module"):
        list(run_on_beam(plan.jobs, setup, folder / "beam"))


def test_options_that_beam_does_not_have():
    pytest.importorskip("apache_beam")
    with pytest.raises(UnknownNameError, match="did you mean --direct_num_workers"):
        pipeline_options(["--direct_num_worker=2"])
    with pytest.raises(MtmoeError, match="--beam_options='--direct_num_workers=two'"):
        pipeline_options(["--direct_num_workers=two"])


def test_without_beam_it_says_what_to_install(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    with pytest.raises(MtmoeError, match=r"pip install 'mtmoe\[beam\]'"):
        list(run_on_beam([], WorkerSetup.of_this_process(), folder))
