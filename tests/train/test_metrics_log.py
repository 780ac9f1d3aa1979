"""The log's lines are means over the steps between them, whoever wrote which part."""

from __future__ import annotations

import glob
import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from mtmoe.data.batches import Batch
from mtmoe.errors import CheckpointError
from mtmoe.train.metrics import METRICS_NAME, MetricsLog, Window


def batch(filled: int) -> Batch:
    inputs = np.zeros((2, 8), np.int32)
    inputs.flat[:filled] = 7
    return Batch(inputs, np.ones((2, 4), np.int32), np.zeros(2, np.int32))


def outputs(loss: float, rate: float = 0.1) -> dict[str, tf.Tensor]:
    return {"loss": tf.constant(loss), "learning_rate": tf.constant(rate)}


def test_means_of_the_steps_and_the_last_learning_rate() -> None:
    window = Window()
    window.add(outputs(3.0, 0.5), batch(4), timed=False)
    window.add(outputs(1.0, 0.25), batch(8), timed=True)
    metrics = window.close(seconds=4.0)
    assert metrics["loss"] == 2.0
    assert metrics["learning_rate"] == 0.25
    assert metrics["padding_fraction"] == pytest.approx((12 / 24 + 8 / 24) / 2)
    assert metrics["tokens_per_second"] == (8 + 8) / 4
    assert metrics["time"] == 4.0
    window.add(outputs(7.0), batch(16), timed=True)
    assert window.close(seconds=5.0) == pytest.approx(
        {
            "loss": 7.0,
            "learning_rate": 0.1,
            "padding_fraction": 0.0,
            "tokens_per_second": 24.0,
            "time": 5.0,
        }
    )


def test_nothing_timed_has_no_speed() -> None:
    window = Window()
    window.add(outputs(3.0), batch(4), timed=False)
    assert window.close(seconds=0.0)["tokens_per_second"] == 0.0


def test_a_window_goes_on_in_another_process() -> None:
    whole, first = Window(), Window()
    for window in (whole, first):
        window.add(outputs(1 / 3), batch(4), timed=True)
    second = Window(json.loads(json.dumps(first.state())))
    for window in (whole, second):
        window.add(outputs(0.1), batch(9), timed=True)
    assert whole.close(3.0) == second.close(3.0)


def lines(folder: Path) -> list[dict[str, float]]:
    text = (folder / METRICS_NAME).read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_keys_are_the_documented_ones_in_order(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path, 0)
    log.write(5, {"accuracy": 0.5, "loss": 2.0, "time": 1.0, "router_entropy": 0.1})
    log.synchronize()
    log.close()
    assert list(lines(tmp_path)[0]) == ["step", "time", "loss", "router_entropy"]
    (events,) = glob.glob(str(tmp_path / "events.*"))
    tags = {
        value.tag: tf.make_ndarray(value.tensor)
        for event in tf.compat.v1.train.summary_iterator(events)
        for value in event.summary.value
    }
    assert tags["accuracy"] == 0.5 and tags["loss"] == 2.0


def test_lines_beyond_the_restored_step_are_dropped(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path, 0)
    for step in (2, 4, 6):
        log.write(step, {"loss": float(step)})
    log.close()
    with (tmp_path / METRICS_NAME).open("a") as stream:
        stream.write('{"step": 8, "lo')  # torn by a crash
    log = MetricsLog(tmp_path, 4)
    log.write(6, {"loss": 0.5})
    log.close()
    assert lines(tmp_path) == [
        {"step": 2, "loss": 2.0},
        {"step": 4, "loss": 4.0},
        {"step": 6, "loss": 0.5},
    ]
    MetricsLog(tmp_path, 0).close()
    assert lines(tmp_path) == []


def test_damage_inside_the_log_is_an_error(tmp_path: Path) -> None:
    (tmp_path / METRICS_NAME).write_text('{"step": 1}\nnonsense\n{"step": 3}\n')
    with pytest.raises(CheckpointError, match="metrics.jsonl:2 is damaged"):
        MetricsLog(tmp_path, 3)


def test_a_full_disk_is_a_clear_error(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path, 0)
    log._stream = open("/dev/full", "a")  # noqa: SIM115
    with pytest.raises(CheckpointError, match="/dev/full.*No space left"):
        log.write(1, {"loss": 1.0})
