"""Processes that write and read one checkpoint together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from mtmoe.engine.processes.alone import Processes
from mtmoe.errors import CheckpointError

_T = TypeVar("_T")


ALONE = Processes()
"""A run of one process."""


def together(processes: Processes, tag: str, action: Callable[[], _T]) -> list[_T]:
    """Does something in every process; all learn whether it worked everywhere.

    Args:
      processes: all of them; each calls this with the same tag.
      tag: what is done, in words.
      action: what this process does; it returns plain JSON.

    Returns:
      What it returned in each process.

    Raises:
      CheckpointError: it failed in another process; the message names it. An `OSError`
        there is the error's cause here too.
      Exception: what it raised in this process.
    """
    result: _T | None = None
    error: Exception | None = None
    try:
        result = action()
    except Exception as caught:  # the others must hear of it, whatever it is
        error = caught
    report = {
        "result": result,
        "error": None if error is None else f"{error}" or type(error).__name__,
        "errno": _errno(error),
    }
    answers: list[dict[str, Any]] = processes.gather(tag, report)
    if error is not None:
        raise error
    failed = [
        (number, answer)
        for number, answer in enumerate(answers)
        if answer["error"] is not None
    ]
    if failed:
        errno = next((a["errno"] for _, a in failed if a["errno"] is not None), None)
        raise CheckpointError(
            "\n".join(
                f"process {number} of {processes.count}: {answer['error']}"
                for number, answer in failed
            )
        ) from (None if errno is None else OSError(errno, "in another process"))
    return [answer["result"] for answer in answers]


def _errno(error: BaseException | None) -> int | None:
    while error is not None:
        if isinstance(error, OSError):
            return error.errno
        error = error.__cause__
    return None
