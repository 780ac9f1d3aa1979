"""A run of one process: what every run is asked, answered without any other process."""

from __future__ import annotations

import os
import socket
import sys
from typing import Any

LOST_STATUS = os.EX_TEMPFAIL
"""Exit status where another process ended: start all again (75)."""


class Processes:
    """The processes of a run, as one of them sees them; here it is alone.

    Attributes:
      index: number of this process, from 0.
      count: how many there are.
      hosts: the machine of each.
      heartbeat_seconds: after so long without a sign of life a process counts as dead.
    """

    index = 0
    count = 1
    heartbeat_seconds = 0

    def __init__(self) -> None:
        """One process, alone."""
        self.hosts: tuple[str, ...] = (socket.gethostname(),)

    @property
    def is_first(self) -> bool:
        """Whether this is the process that logs and writes reports."""
        return self.index == 0

    def name(self, index: int | None = None) -> str:
        """Returns "process 3 of 4 on host node7"; of this process by default."""
        index = self.index if index is None else index
        host = self.hosts[index] if index < len(self.hosts) else "?"
        return f"process {index} of {self.count} on host {host}"

    def complain(self, text: str) -> None:
        """Writes an error to stderr, with the name of any process but the first."""
        print(f"mtmoe: {text}", file=sys.stderr, flush=True)

    def barrier(self, name: str) -> None:
        """Waits until every process is here."""
        self.gather(name, None)

    def gather(self, name: str, value: Any) -> list[Any]:
        """Returns what each process gave, in their order; every process must call.

        The calls of the main thread come in the same order in all, and so do those of
        the thread that saves.

        Args:
          name: what it is about; the same in every process.
          value: small, plain JSON.
        """
        return [value]

    def request_stop(self, number: int) -> None:
        """Asks that all processes stop after one step, because of signal `number`."""

    def begin_steps(self, step: int) -> None:
        """Says which step this process begins at, before the first `stop_at`."""

    def stop_at(self, step: int) -> int | None:
        """Tells whether to stop after this step; asked after every step.

        Returns:
          The number of the signal that asked for it, after the same step in all
          processes; None: go on.
        """
        return None

    def note_failure(self, error: BaseException) -> None:
        """Waits whether another process is the cause of an error, which ends this."""

    def leave(self, status: int, reason: str | None = None) -> None:
        """Ends this process's part of the run.

        Args:
          status: the exit status.
          reason: what went wrong, for the other processes, which end too; None: all is
            done here, and the others are waited for.
        """
