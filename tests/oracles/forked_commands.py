"""Commands of mtmoe in processes of their own that need not import TensorFlow again.

Python's fork server imports once what `mtmoe train` needs, and starts no device; each
command is forked from it. Environment, folder, signals, output and exit status are
those of a command that is started from a shell; the seed of Python's hashes is not
the command's own, nor are the variables that JAX and TensorFlow read when they are
imported.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from multiprocessing import forkserver
from pathlib import Path

_IMPORTS = "oracles.imported_for_commands"
_TESTS = Path(__file__).resolve().parents[1]
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload([_IMPORTS])


def _start_server() -> None:
    """Starts the fork server, if it does not run yet; it finds modules of tests."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(_TESTS), *filter(None, [before])])
    try:
        forkserver.ensure_running()
    finally:
        os.environ.pop("PYTHONPATH")
        if before is not None:
            os.environ["PYTHONPATH"] = before


class ForkedCommand:
    """A command that runs; what tests use of `subprocess.Popen`."""

    def __init__(
        self,
        arguments: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        stdout: Path,
        stderr: Path,
    ):
        """Starts it.

        Args:
          arguments: of `mtmoe`.
          folder: where it runs.
          environment: its variables, all of them.
          stdout: the file that its output goes to.
          stderr: the file that its errors go to.
        """
        for path in (stdout, stderr):
            path.write_bytes(b"")
        self._process = _CONTEXT.Process(
            target=_run,
            args=(list(arguments), folder, dict(environment), stdout, stderr),
        )
        _start_server()
        self._process.start()

    @property
    def returncode(self) -> int | None:
        """The exit status, -N after signal N; None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """Returns the exit status, None while it runs."""
        return self._process.exitcode

    def wait(self) -> int | None:
        """Waits for its end; returns the exit status."""
        self._process.join()
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Sends a signal, unless it has ended."""
        if self.poll() is None and self._process.pid:
            os.kill(self._process.pid, number)

    def kill(self) -> None:
        """Ends it at once."""
        self.send_signal(signal.SIGKILL)


def _run(
    arguments: list[str],
    folder: Path,
    environment: dict[str, str],
    stdout: Path,
    stderr: Path,
) -> None:
    """In the forked process: becomes the command."""
    assert _IMPORTS in sys.modules  # the fork server passes over what it cannot import
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for path, descriptor in ((stdout, 1), (stderr, 2)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_APPEND), descriptor)
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115  (buffered as a file's is)
    sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
    sys.argv = ["mtmoe", *arguments]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    from mtmoe.cli.main import main

    try:
        sys.exit(main(arguments))
    finally:
        atexit._run_exitfuncs()  # multiprocessing's processes leave them out
