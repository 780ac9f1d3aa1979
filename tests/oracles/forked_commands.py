"""Processes of tests that need not import TensorFlow again.

Python's fork server imports once what `mtmoe train` needs, and starts no device; each
process is forked from it. Environment, folder, signals, output and exit status are
those of a process that is started from a shell. The seed of Python's hashes is the fork
server's, another one than this process has; the variables that JAX and TensorFlow read
when they are imported are the fork server's too.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

_IMPORTS = "oracles.imported_for_commands"
_TESTS = Path(__file__).resolve().parents[1]
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload([_IMPORTS])


def _start_server() -> None:
    """Starts the fork server, if it does not run yet; it finds modules of tests."""
    kept = {name: os.environ.get(name) for name in ("PYTHONPATH", "PYTHONHASHSEED")}
    paths = [str(_TESTS), *filter(None, [kept["PYTHONPATH"]])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    os.environ["PYTHONHASHSEED"] = "2" if kept["PYTHONHASHSEED"] == "1" else "1"
    try:
        forkserver.ensure_running()
    finally:
        for name, value in kept.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class ForkedProcess:
    """A function that runs in a process; what tests use of `subprocess.Popen`."""

    def __init__(
        self,
        function: Callable[..., int | None],
        arguments: Sequence[Any],
        folder: Path,
        environment: Mapping[str, str] | None = None,
        stdout: Path | None = None,
        stderr: Path | None = None,
    ):
        """Starts it.

        Args:
          function: of a module that can be imported; returns the exit status.
          arguments: what it is called with.
          folder: where it runs.
          environment: its variables, all of them; those of this process by default.
          stdout: the file that its output goes to; one of its own by default.
          stderr: the same for its errors.
        """
        if stdout is None or stderr is None:
            self._own = tempfile.TemporaryDirectory(prefix="mtmoe_forked_")
        self._stdout = stdout or Path(self._own.name, "stdout")
        self._stderr = stderr or Path(self._own.name, "stderr")
        for path in (self._stdout, self._stderr):
            path.write_bytes(b"")
        variables = dict(os.environ if environment is None else environment)
        outputs = (self._stdout, self._stderr)
        self._process = _CONTEXT.Process(
            target=_run, args=(function, tuple(arguments), folder, variables, outputs)
        )
        _start_server()
        self._process.start()

    @property
    def pid(self) -> int | None:
        """Its number."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit status, -N after signal N; None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """Returns the exit status, None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int | None:
        """Waits for its end; returns the exit status.

        Raises:
          TimeoutExpired: it runs still after `timeout` seconds.
        """
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(str(self._process), timeout or 0.0)
        return self._process.exitcode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Waits for its end; returns what it has written to stdout and to stderr."""
        self.wait(timeout)
        return self._stdout.read_text(), self._stderr.read_text()

    def lines(self, count: int, seconds: float = 120) -> list[str]:
        """Waits for the first lines of its output."""
        until = time.monotonic() + seconds
        while True:
            running = self.poll() is None
            lines = self._stdout.read_text().split("\n")[:-1]
            if len(lines) >= count:
                return lines[:count]
            assert running, self._stderr.read_text()
            assert time.monotonic() < until, f"not {count} lines: {lines}"
            time.sleep(0.02)

    def send_signal(self, number: int) -> None:
        """Sends a signal, unless it has ended."""
        if self.poll() is None and self._process.pid:
            os.kill(self._process.pid, number)

    def kill(self) -> None:
        """Ends it at once."""
        self.send_signal(signal.SIGKILL)


class ForkedCommand(ForkedProcess):
    """A command of mtmoe."""

    def __init__(self, arguments: Sequence[str], *args: Any, **kwargs: Any):
        """Starts it with arguments of `mtmoe`; the others are ForkedProcess's."""
        super().__init__(_command, [list(arguments)], *args, **kwargs)


class ForkedScript(ForkedProcess):
    """A script of Python."""

    def __init__(self, arguments: Sequence[str], *args: Any, **kwargs: Any):
        """Starts it with arguments of `python`; the others are ForkedProcess's."""
        super().__init__(_script, [list(arguments)], *args, **kwargs)


class ForkedContext:
    """Stands for `multiprocessing.get_context("spawn")`."""

    Pipe = staticmethod(multiprocessing.Pipe)

    def Process(  # noqa: N802
        self, target: Callable[..., object], args: Sequence[Any], daemon: bool = False
    ) -> Any:
        """Returns a process that is forked when it is started."""
        _start_server()
        return _CONTEXT.Process(
            target=_in_environment, args=(dict(os.environ), target, args), daemon=daemon
        )


def _in_environment(
    environment: dict[str, str], function: Callable[..., Any], arguments: Sequence[Any]
) -> Any:
    """In the forked process: calls a function."""
    assert _IMPORTS in sys.modules  # the fork server passes over what it cannot import
    os.environ.clear()
    os.environ.update(environment)
    return function(*arguments)


def _run(
    function: Callable[..., int | None],
    arguments: Sequence[Any],
    folder: Path,
    environment: dict[str, str],
    outputs: Sequence[Path],
) -> None:
    """In the forked process: becomes the one that was asked for."""
    os.chdir(folder)
    for descriptor, path in enumerate(outputs, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_APPEND), descriptor)
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115  (buffered as a file's is)
    sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        sys.exit(_in_environment(environment, function, arguments))
    finally:
        atexit._run_exitfuncs()  # multiprocessing's processes leave them out


def _command(arguments: list[str]) -> int:
    import mtmoe.cli.main as command

    sys.argv = ["mtmoe", *arguments]
    sys.modules["__main__"] = command  # as under python -m; workers import it too
    for name in [name for name in sys.modules if name.split(".")[0] == "oracles"]:
        del sys.modules[name]  # it has read what a command from a shell has, no more
    return command.main(arguments)


def _script(arguments: list[str]) -> None:
    sys.argv = list(arguments)
    runpy.run_path(arguments[0], run_name="__main__")
