"""The log's lines are means over the steps between them, whoever wrote which part."""

from __future__ import annotations

import glob
import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from mtmoe.data.batches.batch import Batch
from mtmoe.errors import CheckpointError
from mtmoe.train.metrics import METRICS_NAME, MetricsLog, Window

LAYERS = ("encoder.1.moe", "decoder.1.moe")


def batch(filled: int, **bad_rows: int) -> Batch:
    segments = np.zeros((2, 8), np.int32)
    segments.flat[:filled] = 1
    ones = np.ones((2, 4), np.int32)
    # Every input is token 0: only the segments say what is a token.
    inputs = np.zeros((2, 8), np.int32)
    features = {
        "inputs": inputs,
        "targets": ones,
        "inputs_segments": segments,
        "targets_segments": ones,
    }
    return Batch(features, np.zeros((2, 1), np.int32), bad_rows)


def outputs(loss: float, rate: float = 0.1) -> dict[str, tf.Tensor]:
    return {"loss": tf.constant(loss), "learning_rate": tf.constant(rate)}


def by_language(step: int) -> dict[str, tf.Tensor]:
    """Outputs of three languages, of which the second never has a token."""
    loss = [1 / 3 + step, 0.0, 0.1 * step]
    experts = np.zeros([2, 3, 4], np.float32)
    experts[0, 0] = [3, 1, 0, step]
    experts[1, 2] = [step, 0, 0, 0]
    tokens = experts.sum(-1)
    return {
        "language_loss": tf.constant(loss),
        "language_tokens": tf.constant([2.0, 0.0, float(step)]),
        "language_experts": tf.constant(experts),
        "language_dropped": tf.constant(tokens / 4),
        "language_entropy": tf.constant(tokens * [[0.5], [1.5]]),
        "layer_tokens": tf.constant(tokens.sum(-1)),
        "layer_experts": tf.constant(experts.sum(1)),
        "layer_dropped": tf.constant(tokens.sum(-1) / 4),
        "layer_entropy": tf.constant(tokens.sum(-1) * [0.5, 1.5]),
        "layer_log_z_square": tf.constant(tokens.sum(-1) * [2.0, 3.0]),
    }


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
    codes = ("de", "eo", "sw")
    whole, first = Window(codes, LAYERS), Window(codes, LAYERS)
    for window in (whole, first):
        for step in (1, 2):
            window.add(
                outputs(1 / 3) | by_language(step), batch(4, task=step), timed=True
            )
    second = Window(codes, LAYERS, json.loads(json.dumps(first.state())))
    for window in (whole, second):
        for step in (3, 4):
            window.add(outputs(0.1) | by_language(step), batch(9), timed=True)
    metrics = whole.close(3.0)
    assert second.close(3.0) == metrics
    assert metrics["damaged_rows"] == {"task": 3}
    # Rows left empty are counted over the whole run, all else anew.
    for window in (whole, second):
        window.add(outputs(0.1) | by_language(1), batch(9), timed=True)
    metrics = whole.close(4.0)
    assert second.close(4.0) == metrics
    assert metrics["damaged_rows"] == {"task": 3}
    assert metrics["language_loss"] == {"de": 0.6667, "sw": 0.1}


def test_languages_are_weighted_by_their_tokens() -> None:
    window = Window(("de", "eo", "sw"))
    for step in (1, 4):
        window.add(by_language(step) | outputs(0.0), batch(4), timed=False)
    metrics = window.close(1.0)
    # de: 2 tokens a step; sw: 1 and 4 tokens of 0.1 and 0.4 nats together
    assert metrics["language_loss"] == {"de": round((5 + 2 / 3) / 4, 4), "sw": 0.1}
    # de: 6 of 13 tokens in the busiest of 4 experts, in the one layer it was seen in
    assert metrics["language_expert_load"] == {"de": round(4 * 6 / 13, 4), "sw": 4.0}
    assert not any(isinstance(metrics[name], dict) for name in ("loss", "time"))


def test_routing_by_language_and_layer_is_over_the_tokens_of_all_steps() -> None:
    window = Window(("de", "eo", "sw"), LAYERS)
    for step in (1, 4):
        window.add(by_language(step) | outputs(0.0), batch(4), timed=False)
    metrics = window.close(1.0)
    assert metrics["language_dropped_fraction"] == {"de": 0.25, "sw": 0.25}
    assert metrics["language_router_entropy"] == {"de": 0.5, "sw": 1.5}
    assert metrics["layer_routing"] == {
        "encoder.1.moe": {
            "load_max_over_mean": round(4 * 6 / 13, 4),
            "dropped_fraction": 0.25,
            "entropy": 0.5,
            "z": 2.0,
        },
        "decoder.1.moe": {
            "load_max_over_mean": 4.0,
            "dropped_fraction": 0.25,
            "entropy": 1.5,
            "z": 3.0,
        },
    }


def test_the_mean_square_of_log_z_is_logged_as_router_z() -> None:
    window = Window()
    window.add(outputs(1.0) | {"router_log_z_square": 4.0}, batch(4), timed=False)
    assert window.close(1.0)["router_z"] == 4.0


def test_a_dense_model_has_no_expert_load() -> None:
    window = Window(("de",))
    only = {"language_loss": tf.constant([3.0]), "language_tokens": tf.constant([2.0])}
    window.add(outputs(1.0) | only, batch(4), timed=False)
    metrics = window.close(1.0)
    assert metrics["language_loss"] == {"de": 1.5}
    assert "language_expert_load" not in metrics and "damaged_rows" not in metrics


def lines(folder: Path) -> list[dict[str, float]]:
    text = (folder / METRICS_NAME).read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_keys_are_the_documented_ones_in_order(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path, 0)
    by_code = {
        "layer_routing": {"encoder.1.moe": {"z": 3.0}},
        "language_loss": {"de": 1.5, "ru-Latn": 2.5},
    }
    log.write(5, by_code | {"accuracy": 0.5, "loss": 2.0, "time": 1.0})
    log.synchronize()
    log.close()
    assert list(lines(tmp_path)[0]) == [
        "step",
        "time",
        "loss",
        "language_loss",
        "layer_routing",
    ]
    assert lines(tmp_path)[0]["language_loss"] == {"de": 1.5, "ru-Latn": 2.5}
    (events,) = glob.glob(str(tmp_path / "events.*"))
    tags = {
        value.tag: tf.make_ndarray(value.tensor)
        for event in tf.compat.v1.train.summary_iterator(events)
        for value in event.summary.value
    }
    assert tags["accuracy"] == 0.5 and tags["loss"] == 2.0
    assert tags["layer_routing/encoder.1.moe/z"] == 3.0
    assert tags["language_loss/de"] == 1.5 and tags["language_loss/ru-Latn"] == 2.5


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
