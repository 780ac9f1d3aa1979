"""Processes find each other, agree, stop at one step, and end when one dies."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import hypothesis.strategies
import pytest
from hypothesis import given
from oracles.process_group import started

from mtmoe.engine.processes.alone import LOST_STATUS, Processes
from mtmoe.engine.processes.current import devices_per_process
from mtmoe.engine.processes.native_errors import (
    NativeErrors,
    dead_processes,
    is_of_gloo,
)
from mtmoe.errors import LayoutError

PROGRAM = Path(__file__).with_name("process_program.py")
HEARTBEAT = 4


def commands(count: int, *arguments: str) -> list[list[str]]:
    return [[str(PROGRAM), *arguments]] * count


def test_one_process_asks_nobody():
    alone = Processes()
    assert (alone.index, alone.count, alone.is_first) == (0, 1, True)
    assert alone.gather("x", {"a": 1}) == [{"a": 1}]
    assert alone.stop_at(7) is None
    alone.leave(2, "an error")  # ends nothing


def test_processors_are_shared_evenly():
    assert devices_per_process(8, 4) == 2
    with pytest.raises(LayoutError, match=r"6 / 4 is no whole .* layout of 4 or 8 "):
        devices_per_process(6, 4)
    with pytest.raises(LayoutError, match=r"1 / 2 is no whole .* layout of 2 proc"):
        devices_per_process(1, 2)


@pytest.mark.parametrize(
    ("text", "dead"),
    [
        (
            "F1129 x client.h:80] ... absl::Status: UNAVAILABLE: The following tasks "
            "are unhealthy (stopped sending heartbeats):\n1\n12\nThe tasks have "
            "crashed. Check the task logs\n\nRPC: /xla.Poll 3",
            [1, 12],
        ),
        (
            "The following tasks are unhealthy (stopped sending heartbeats):\n"
            "/job:jax_worker/replica:0/task:2\nThe tasks have crashed.",
            [2],
        ),
        ("Failed to send RPC to coordination service. Either the leader task was", [0]),
        ("something else", []),
    ],
)
def test_who_is_gone_is_read_from_what_jax_writes(text, dead):
    assert dead_processes(text) == dead


GLOO = (
    b"[Gloo] Rank ",
    b"3",
    b" is connected to ",
    b"12",
    b" peer ranks. ",
    b"Expected number of connected peer ranks is : ",
    b"12",
    b"\n",
)


@given(hypothesis.strategies.data())
def test_what_gloo_says_is_known_however_threads_mix_it(data):
    threads, mixed = [list(GLOO) for _ in range(3)], b""
    while any(threads):
        rest = [parts for parts in threads if parts]
        mixed += data.draw(hypothesis.strategies.sampled_from(rest)).pop(0)
    assert all(map(is_of_gloo, mixed.splitlines(keepends=True)))
    for other in (b"7 of 12 devices failed\n", b"Rank 3 is connected to nothing\n"):
        assert not is_of_gloo(other)


def test_what_gloo_says_is_left_out_and_all_else_passes(capfd):
    native, said = NativeErrors(), ""
    try:
        os.write(2, b"[Gloo] Rank [Gloo] Rank 1 is connected to \n\nan error\n")
        until = time.monotonic() + 20
        while "an error\n" not in said and time.monotonic() < until:
            time.sleep(0.01)
            said += capfd.readouterr().err
    finally:
        native.close()
    assert said == "an error\n"


@pytest.mark.slow
def test_sigterm_at_one_of_four_stops_all_after_the_same_step(tmp_path):
    proxies = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    with started(commands(4, "run"), tmp_path, proxies) as group:
        group.wait_for("running")
        chosen = random.randrange(4)
        group.processes[chosen].send_signal(signal.SIGTERM)
        ended = group.ended()
    assert [process.status for process in ended] == [143] * 4, ended
    steps = {process.stderr.partition("stopped after ")[2] for process in ended}
    assert len(steps) == 1 and steps.pop().startswith("step "), ended
    # Process 0 alone writes to stdout; errors of others carry their name.
    names = [f"process {i} of 4 on host" for i in range(4)]
    for index, process in enumerate(ended):
        assert (process.stdout == "") == (index > 0)
        assert (names[index] in process.stderr) == (index > 0)
    assert all(name in ended[0].stdout for name in names)
    assert "[0, 1, 2, 3]" in ended[0].stdout


@pytest.mark.slow
@pytest.mark.parametrize("killed", [1, 0])
def test_a_killed_process_ends_the_others_within_the_heartbeat(tmp_path, killed):
    heartbeat = {"MTMOE_HEARTBEAT_SECONDS": str(HEARTBEAT)}
    with started(commands(3, "run"), tmp_path, heartbeat) as group:
        group.wait_for("running")
        at = time.monotonic()
        group.processes[killed].kill()
        ended = group.ended()
    for index, process in enumerate(ended):
        if index == killed:
            assert process.status == -signal.SIGKILL
            continue
        assert process.status == LOST_STATUS, process
        assert process.at - at < HEARTBEAT + 6
        assert f"process {killed} of 3 on host" in process.stderr
        assert "goes on from the newest checkpoint" in process.stderr
        assert "stack trace" not in process.stderr and "Traceback" not in process.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "failing", "status", "message"),
    [
        ("fail", 1, 2, "the disk is full"),
        ("crash", 0, 1, "RuntimeError('a defect')"),
    ],
)
def test_an_error_in_one_process_ends_the_others_with_its_reason(
    tmp_path, mode, failing, status, message
):
    with started(commands(2, mode, str(failing)), tmp_path) as group:
        ended = group.ended()
    assert ended[failing].status == status
    other = ended[1 - failing]
    assert other.status == LOST_STATUS
    assert f"process {failing} of 2 on host" in other.stderr
    assert message in ended[failing].stderr and message in other.stderr


@pytest.mark.slow
def test_processes_that_were_not_started_alike_say_what_differs(tmp_path):
    with started(commands(2, "unlike", "1"), tmp_path) as group:
        ended = group.ended()
    for process in ended:
        assert process.status == 2, process
        assert "the config of process 1 of 2 on host" in process.stderr
        assert "'b = 3' there, 'b = 2' here" in process.stderr


@pytest.mark.slow
def test_processes_that_do_not_come_are_not_waited_for_forever(tmp_path):
    alone = {"MTMOE_NUM_PROCESSES": "2", "MTMOE_START_SECONDS": "3"}
    with started(commands(1, "run"), tmp_path, alone) as group:
        (process,) = group.ended(60)
    assert process.status == LOST_STATUS, process
    assert "the 2 processes that MTMOE_COORDINATOR names did not" in process.stderr
    assert "within 3 s. Is process 0 running" in process.stderr
