"""The processes of this run: joined if there are several, and started alike."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping

from mtmoe.engine.processes.alone import Processes
from mtmoe.engine.processes.environment import (
    COUNT,
    Start,
    find_processes,
    with_timeouts,
)
from mtmoe.engine.processes.joined import JoinedProcesses
from mtmoe.engine.processes.tpu_vm import find_tpu_vm
from mtmoe.errors import ConfigError, LayoutError

_alone = Processes()
_joined: JoinedProcesses | None = None


def current() -> Processes:
    """Returns the processes of this run."""
    return _alone if _joined is None or _joined.has_left else _joined


def start_processes() -> Processes:
    """Joins this process to the others of its run, if the environment names any.

    To be called before any device is touched.

    Raises:
      ConfigError: the variables are set half or contradict each other, or the processes
        did not find each other.
    """
    global _joined
    start = _find()
    if start is not None and current().count == 1:
        _joined = JoinedProcesses(start)
    return current()


def refuse_several_processes(command: str) -> None:
    """Raises ConfigError where a command is started as one of several processes."""
    start = _find()
    if start is not None:
        count = "several" if start.count is None else str(start.count)
        raise ConfigError(
            f"mtmoe {command} runs in one process, but {start.found_in} says that it "
            f"is one of {count}. Start it once, on one host, with a layout for the "
            "devices there"
        )


def _find() -> Start | None:
    start = find_processes(os.environ)
    is_explicit = any(os.environ.get(name) for name in COUNT)  # one process
    if start is not None or is_explicit:
        return start
    found = find_tpu_vm()
    return None if found is None else with_timeouts(found, os.environ)


def devices_per_process(processors: int, processes: int) -> int:
    """Returns how many of a layout's processors each process has.

    Raises:
      LayoutError: they cannot be divided evenly.
    """
    if processors % processes:
        lower = processors - processors % processes
        nearest = [n for n in (lower, lower + processes) if n]
        raise LayoutError(
            f"the layout has {processors} processors, which {processes} processes "
            f"cannot share evenly: {processors} / {processes} is no whole number. Take "
            f"a layout of {' or '.join(map(str, nearest))} processors, or a number of "
            "processes that divides it"
        )
    return processors // processes


def check_alike(facts: Mapping[str, str]) -> None:
    """Checks that every process was given the same, before the first step.

    Args:
      facts: text by name, such as versions and the config.

    Raises:
      ConfigError: something differs; the message, in every process, names it.
    """
    processes = current()
    all_facts = processes.gather("facts", dict(facts))
    differing = []
    for index, other in enumerate(all_facts):
        for name in all_facts[0].keys() | other.keys():
            first, theirs = all_facts[0].get(name, ""), other.get(name, "")
            if first != theirs:
                differing.append((index, name, *_first_difference(first, theirs)))
    if differing:
        index, name, first, theirs = min(differing)
        others = sorted({number for number, *_ in differing} - {index})
        also = f" (and of processes {others})" if others else ""
        raise ConfigError(
            f"the processes were not started alike: the {name} of "
            f"{processes.name(index)}{also} is not that of "
            f"{processes.name(0)}: {theirs!r} there, {first!r} here"
        )


def _first_difference(first: str, other: str) -> tuple[str, str]:
    """Returns the first lines that differ."""
    lines = (first.splitlines(), other.splitlines())
    for ours, theirs in itertools.zip_longest(*lines, fillvalue=""):
        if ours != theirs:
            return ours[:200], theirs[:200]
    return first[:200], other[:200]
