"""A trace of some steps of a run, with the names of the model's layers in it."""

from __future__ import annotations

import dataclasses
import gzip
import json
import re
from collections.abc import Mapping
from pathlib import Path

import jax

from mtmoe.engine.compile.runner import Executable
from mtmoe.engine.standalone.operation_times import (
    instruction_of,
    instructions,
    operation_times,
)
from mtmoe.errors import ConfigError

FOLDER = "profile"
TIMES = "times.txt"


@dataclasses.dataclass(frozen=True)
class ProfiledSteps:
    """Steps of a run, counted from 1 as the log counts them, both included."""

    first: int
    last: int

    @classmethod
    def parse(cls, text: str) -> ProfiledSteps:
        """Reads FIRST:LAST.

        Raises:
          ConfigError: it is not of this form, or has no steps.
        """
        match = re.fullmatch(r"(\d+):(\d+)", text)
        if match is None:
            raise ConfigError(
                f"--profile={text} must be FIRST:LAST, two steps such as 10:12"
            )
        steps = cls(int(match[1]), int(match[2]))
        if not 1 <= steps.first <= steps.last:
            raise ConfigError(
                f"--profile={text} has no steps: FIRST must be at least 1, LAST at "
                "least FIRST"
            )
        return steps

    def check(self, done: int, steps: int) -> None:
        """Checks that a run of so many `steps`, of which some are `done`, does these.

        Raises:
          ConfigError: it does not.
        """
        if self.first <= done or self.last > steps:
            raise ConfigError(
                f"--profile={self.first}:{self.last}: this run does the steps "
                f"{done + 1} to {steps}"
            )


class Profile:
    """Writes a trace; a context that ends it whatever happens."""

    def __init__(self, folder: Path, steps: ProfiledSteps | None):
        """Prepares traces of `steps`, if any, in `folder`."""
        self._folder, self._steps = folder, steps
        self._running = False

    def __enter__(self) -> Profile:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._running:  # the run ended early
            self._running = False
            jax.profiler.stop_trace()

    def before(self, step: int) -> None:
        """Starts before the first of the steps; `step` counts from 1."""
        if self._steps is not None and step == self._steps.first:
            self._folder.mkdir(parents=True, exist_ok=True)
            jax.profiler.start_trace(str(self._folder))
            self._running = True

    def ends_with(self, step: int) -> bool:
        """Whether this was the last of the steps; `step` counts from 1."""
        return self._running and self._steps is not None and step == self._steps.last

    def end(self, outputs: Mapping[str, jax.Array], executable: Executable) -> str:
        """Ends the trace after the last step's outputs, and names the operations in it.

        Returns:
          Where the trace is, and the times by kind and by layer.
        """
        assert self._steps is not None
        jax.block_until_ready(outputs)
        self._running = False
        jax.profiler.stop_trace()
        text = executable.compiled.as_text()
        name_operations(self._folder, text)
        times = operation_times(self._folder, text)
        count = self._steps.last - self._steps.first + 1
        table = times.text(count * len(executable.mesh.local_devices))
        (self._folder / TIMES).write_text(table + "\n")
        steps = f"{self._steps.first} to {self._steps.last}"
        return f"profile of steps {steps}: {self._folder}\n{table}"


def name_operations(folder: Path, program: str) -> None:
    """Names the operations of the newest trace in a folder as the model does.

    This is for Perfetto; TensorBoard has its own file with the names.

    Args:
      folder: where `jax.profiler` wrote to.
      program: text of the compiled program.
    """
    known = instructions(program)
    trace = max(folder.rglob("*.trace.json.gz"), key=lambda p: p.stat().st_mtime)
    with gzip.open(trace, "rt") as file:
        content = json.load(file)
    for event in content["traceEvents"]:
        name = instruction_of(event, known)
        if name is not None and known[name].op_name:
            event["name"] = known[name].op_name
            event["args"] = (event.get("args") or {}) | {
                "hlo_op": name,
                "layer": known[name].layer,
                "kind": known[name].kind,
            }
    with gzip.open(trace, "wt") as file:
        json.dump(content, file)
