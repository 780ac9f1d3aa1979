"""Real processes that belong together, on this machine."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import random
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from oracles.forked_commands import ForkedCommand, ForkedProcess, ForkedScript

TESTS = Path(__file__).resolve().parents[1]
# Below the ports that a kernel hands out by itself.
_PORTS = range(20_000, 30_000)


@contextlib.contextmanager
def reserved_port() -> Iterator[int]:
    """Yields a port that is free, and that no other test takes meanwhile."""
    folder = Path(tempfile.gettempdir()) / "mtmoe_test_ports"
    folder.mkdir(exist_ok=True)
    for port in random.SystemRandom().sample(_PORTS, len(_PORTS)):
        with (folder / str(port)).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            yield port
            return
    raise AssertionError("no port is free")


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a process ended: its exit status, what it wrote, and when (monotonic)."""

    status: int
    stdout: str
    stderr: str
    at: float


class ProcessGroup:
    """Some processes started alike; see `started`."""

    def __init__(self, processes: Sequence[ForkedProcess], folder: Path):
        """Takes over processes whose output goes to files of a folder."""
        self.processes = processes
        self._folder = folder

    def output(self, index: int, stream: str = "stdout") -> str:
        """Returns what a process has written so far."""
        return (self._folder / f"{stream}.{index}").read_text()

    def wait_for(self, text: str, index: int = 0, seconds: float = 120) -> None:
        """Waits until a process has written `text` to stdout."""
        until = time.monotonic() + seconds
        while text not in self.output(index):
            running = self.processes[index].poll() is None
            assert running, self.output(index, "stderr")
            assert time.monotonic() < until, f"no {text!r} in {self.output(index)!r}"
            time.sleep(0.02)

    def ended(self, seconds: float = 180) -> list[Ended]:
        """Waits for all of them."""
        until = time.monotonic() + seconds
        at: dict[int, float] = {}
        while len(at) < len(self.processes):
            for index, process in enumerate(self.processes):
                if index not in at and process.poll() is not None:
                    at[index] = time.monotonic()
            errors = [self.output(i, "stderr") for i in range(len(self.processes))]
            assert time.monotonic() < until, f"only {sorted(at)} have ended: {errors}"
            time.sleep(0.02)
        return [
            Ended(
                process.returncode,
                self.output(index),
                self.output(index, "stderr"),
                at[index],
            )
            for index, process in enumerate(self.processes)
        ]


@contextlib.contextmanager
def started(
    commands: Sequence[Sequence[str]],
    folder: Path,
    environment: Mapping[str, str] | None = None,
) -> Iterator[ProcessGroup]:
    """Starts a process for each command, as processes 0, 1, ... of one run.

    They are forked from a process that has imported mtmoe; see
    `oracles.forked_commands`.

    Args:
      commands: arguments of Python, one a process: `-m mtmoe.cli.main` and arguments
        of it, or a script and its.
      folder: where they run, and where what they write goes.
      environment: further variables.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with reserved_port() as port, contextlib.ExitStack() as stack:
        processes: list[ForkedProcess] = []
        for index, command in enumerate(commands):
            variables = {
                **os.environ,
                "MTMOE_COORDINATOR": f"127.0.0.1:{port}",
                "MTMOE_NUM_PROCESSES": str(len(commands)),
                "MTMOE_PROCESS_ID": str(index),
                "MTMOE_HEARTBEAT_SECONDS": "20",
                "JAX_PLATFORMS": "cpu",
                "PYTHONPATH": str(TESTS),
                **(environment or {}),
            }
            # Where it is set, a command lets TensorFlow write what it likes.
            variables.pop("TF_CPP_MIN_LOG_LEVEL", None)
            outputs = (folder / f"stdout.{index}", folder / f"stderr.{index}")
            process: ForkedProcess
            if list(command[:2]) == ["-m", "mtmoe.cli.main"]:
                process = ForkedCommand(command[2:], folder, variables, *outputs)
            else:
                process = ForkedScript(command, folder, variables, *outputs)
            processes.append(process)
            stack.callback(process.wait)
            stack.callback(process.kill)
        yield ProcessGroup(processes, folder)
