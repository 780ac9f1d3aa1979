"""What a run writes down about itself: `metrics.jsonl` and TensorBoard events."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from mtmoe.data.batches.batch import Batch, padding_fraction
from mtmoe.engine.processes.alone import Processes
from mtmoe.errors import CheckpointError
from mtmoe.files import write_file
from mtmoe.train.summed_metrics import SUMMED, SummedMetrics

METRICS_NAME = "metrics.jsonl"
KEYS = (
    "step",
    "time",
    "loss",
    "tokens_per_second",
    "padding_fraction",
    "dropped_fraction",
    "expert_load_max_over_mean",
    "router_entropy",
    "router_z",
    "learning_rate",
    "gradient_norm",
    "stage",
    "language_loss",
    "language_expert_load",
    "language_dropped_fraction",
    "language_router_entropy",
    "layer_routing",
    "damaged_records",
    "damaged_rows",
    "warnings",
)
_LAST_COUNTS = ("learning_rate",)
_LOGGED_AS = {"router_log_z_square": "router_z"}
_EMPTY: Mapping[str, Any] = {
    "steps": [],
    "tokens": 0,
    "began": 0.0,
    "damaged_rows": {},
    "languages": {},
}


class Window:
    """The steps since the last line of the log.

    Their outputs stay on the device until a line or a checkpoint is due.
    """

    def __init__(
        self,
        languages: Sequence[str] = (),
        layers: Sequence[str] = (),
        state: Mapping[str, Any] | None = None,
        processes: Processes | None = None,
    ):
        """Starts empty, or as `state()` of an earlier process has it.

        Args:
          languages: codes, in the order of the outputs by language.
          layers: names of the layers of experts, in the order of the outputs by layer.
          state: what `state()` gave.
          processes: those of the run, each of which counts some rows of every batch;
            then `values`, `state` and `close` are called by all of them.
        """
        state = state or _EMPTY
        self._languages, self._layers = tuple(languages), tuple(layers)
        self._steps: list[Mapping[str, Any]] = list(state["steps"])
        self._tokens: int = state["tokens"]
        self._began: float = state["began"]
        self._damaged_rows: Counter[str] = Counter(state["damaged_rows"])
        self._sums = SummedMetrics(languages, layers, state["languages"])
        self._to_sum: list[Mapping[str, Any]] = []
        self._processes = processes or Processes()
        self._counts: list[_Counts] = []

    def add(self, outputs: Mapping[str, Any], batch: Batch, timed: bool) -> None:
        """Adds a step's outputs; its tokens count if its seconds do: `timed`."""
        scalars = {
            _LOGGED_AS.get(name, name): x
            for name, x in outputs.items()
            if name not in SUMMED
        }
        self._steps.append(scalars | {"padding_fraction": 0.0})  # see `_count`
        self._counts.append(
            _Counts(batch.num_tokens, batch.num_places, timed, dict(batch.bad_rows))
        )
        self._to_sum.append({name: x for name, x in outputs.items() if name in SUMMED})

    def values(self) -> list[dict[str, float]]:
        """Returns the scalars of each step; waits until they are computed."""
        for outputs in self._to_sum:
            self._sums.add(outputs)
        self._to_sum = []
        steps = [{name: float(x) for name, x in step.items()} for step in self._steps]
        self._count(steps)
        self._steps = list(steps)
        return steps

    def _count(self, steps: list[dict[str, float]]) -> None:
        """Adds up what the processes counted in the steps since the last time."""
        counts, self._counts = self._counts, []
        if not counts:
            return
        of_all = self._processes.gather("counts", counts)
        for step, parts in zip(
            steps[-len(counts) :], zip(*of_all, strict=True), strict=True
        ):
            by_process = [_Counts(*part) for part in parts]
            tokens = sum(part.tokens for part in by_process)
            places = sum(part.places for part in by_process)
            step["padding_fraction"] = padding_fraction(tokens, places)
            for part in by_process:
                self._damaged_rows.update(part.damaged_rows)
                self._tokens += part.tokens if part.timed else 0

    def state(self) -> dict[str, Any]:
        """Returns what a later process needs to go on with it, as plain JSON."""
        return {
            "steps": self.values(),
            "tokens": self._tokens,
            "began": self._began,
            "damaged_rows": dict(self._damaged_rows),
            "languages": self._sums.state(),
        }

    def close(self, seconds: float) -> dict[str, Any]:
        """Returns the metrics of a line of the log, after some seconds of training.

        Means over the steps; of the learning rate, the last. `tokens_per_second` counts
        inputs and targets without padding, over the steps that were timed (0 if none).
        See `SummedMetrics.metrics` for those by language and layer. `damaged_rows`
        counts, by task, examples of the whole run that were left empty; absent if there
        are none. The window then starts over.
        """
        steps = self.values()
        metrics: dict[str, Any] = {
            name: float(np.mean([step[name] for step in steps])) for name in steps[-1]
        }
        metrics |= {name: steps[-1][name] for name in _LAST_COUNTS if name in metrics}
        elapsed = seconds - self._began
        metrics["time"] = seconds
        metrics["tokens_per_second"] = self._tokens / elapsed if elapsed > 0 else 0.0
        metrics |= self._sums.metrics()
        if self._damaged_rows:
            metrics["damaged_rows"] = dict(sorted(self._damaged_rows.items()))
        self._steps, self._tokens, self._began = [], 0, seconds
        self._sums = SummedMetrics(self._languages, self._layers)
        return metrics


class _Counts(NamedTuple):
    """What a process counted in a step."""

    tokens: int
    places: int
    timed: bool
    damaged_rows: dict[str, int]


class NoLog:
    """The log of a process that is not the first: the first one writes it."""

    def write(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Writes nothing."""

    def lines(self) -> Iterator[Mapping[str, Any]]:
        """Yields nothing."""
        return iter(())

    def synchronize(self) -> None:
        """Has nothing to wait for."""

    def close(self) -> None:
        """Has nothing open."""


class MetricsLog:
    """The run's log, continued where the restored step left it."""

    def __init__(self, folder: Path, step: int):
        """Opens the log of a model folder and drops what comes after the step restored.

        Lines beyond it, all at step 0, will be written again by the run that goes on.

        Raises:
          CheckpointError: a line of the log, other than a torn last one, is no JSON.
        """
        path = folder / METRICS_NAME
        kept = _lines_up_to(path, step) if path.exists() else []
        write_file(path, "".join(kept))
        self._stream = path.open("a", encoding="utf-8")
        self._events = tf.summary.create_file_writer(str(folder))

    def write(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Appends a line of the documented keys; TensorBoard gets every metric.

        A metric is a number, or a mapping of numbers or of such mappings; of these
        TensorBoard gets a scalar each, `language_loss/sw`,
        `layer_routing/encoder.1.moe/entropy`. `warnings` are sentences.

        Raises:
          CheckpointError: the disk is full.
        """
        line = {"step": step} | {key: metrics[key] for key in KEYS if key in metrics}
        try:
            self._stream.write(json.dumps(line) + "\n")
            self._stream.flush()
        except OSError as error:
            raise CheckpointError(
                f"{self._stream.name} could not be written: {error}. The newest "
                "checkpoint is intact; the same command goes on from there."
            ) from error
        with self._events.as_default(step):
            for name, number in _scalars(metrics):
                tf.summary.scalar(name, number)

    def lines(self) -> Iterator[Mapping[str, Any]]:
        """Yields the lines that are there, in order."""
        with open(self._stream.name, encoding="utf-8") as stream:
            yield from map(json.loads, stream)

    def synchronize(self) -> None:
        """Waits until all lines are on the disk, as before a checkpoint."""
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._events.flush()

    def close(self) -> None:
        """Closes both files."""
        self._stream.close()
        self._events.close()


def _scalars(metrics: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """All numbers with their names; of those in a mapping behind the mapping's."""
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            for member, number in _scalars(value):
                yield f"{name}/{member}", number
        elif name != "warnings":
            yield name, value


def _lines_up_to(path: Path, step: int) -> list[str]:
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = []
    for number, line in enumerate(lines, start=1):
        try:
            logged = json.loads(line)["step"]
        except (ValueError, KeyError, TypeError) as error:
            if number == len(lines):  # torn by a crash
                break
            raise CheckpointError(f"{path}:{number} is damaged: {line!r}") from error
        if logged <= step:
            kept.append(line)
    return kept
