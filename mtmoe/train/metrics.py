"""What a run writes down about itself: `metrics.jsonl` and TensorBoard events."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from mtmoe.errors import CheckpointError

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
    "learning_rate",
    "gradient_norm",
)
_LAST_COUNTS = ("learning_rate",)


def summarize(window: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Returns the mean of each metric over some steps; of the learning rate, the last.

    Args:
      window: the metrics of each step, oldest first; at least one.
    """
    means = {
        name: float(np.mean([step[name] for step in window])) for name in window[-1]
    }
    return means | {name: window[-1][name] for name in _LAST_COUNTS if name in means}


class MetricsLog:
    """The run's log, continued where the restored step left it."""

    def __init__(self, folder: Path, step: int):
        """Opens the log and drops what comes after the step restored.

        Args:
          folder: the model folder.
          step: the step training goes on from, 0 at the start. Lines beyond it will be
            written again by the run that goes on.

        Raises:
          CheckpointError: the log has a line that is no JSON, other than a torn last one.
        """
        path = folder / METRICS_NAME
        kept = _lines_up_to(path, step) if path.exists() else []
        temporary = path.with_name(METRICS_NAME + ".tmp")
        temporary.write_text("".join(kept), encoding="utf-8")
        os.replace(temporary, path)
        self._stream = path.open("a", encoding="utf-8")
        self._events = tf.summary.create_file_writer(str(folder))

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Appends a line of the documented keys; TensorBoard gets every metric."""
        line = {"step": step} | {key: metrics[key] for key in KEYS if key in metrics}
        self._stream.write(json.dumps(line) + "\n")
        self._stream.flush()
        with self._events.as_default(step):
            for name, value in metrics.items():
                tf.summary.scalar(name, value)

    def synchronize(self) -> None:
        """Waits until all lines are on the disk, as before a checkpoint."""
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._events.flush()

    def close(self) -> None:
        """Closes both files."""
        self._stream.close()
        self._events.close()


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
