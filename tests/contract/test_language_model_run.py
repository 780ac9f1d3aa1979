"""A decoder alone, from its config to the report: the run that comes with mtmoe."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import gin
import numpy as np
import pytest

from mtmoe.config.load import load_config
from mtmoe.data.batches.batch import Batch
from mtmoe.errors import ConfigError, UnknownNameError
from mtmoe.evaluate.run import EvaluationRequest, evaluate
from mtmoe.report.write import write_report
from mtmoe.train.loop import train
from mtmoe.train.settings import configured_run
from mtmoe.train.step import step_features

RUN = "runs/language_model_quickstart.gin"
TINY = [
    'register.task_modules = ["tiny_training"]',
    "configured_vocabulary.factory = @byte_vocabulary",
    'train.mixture = "tiny.prefix_lm"',
    'train.lengths = {"targets": 32}',
    "train.batch_size = 8",
    "train.log_every = 4",
    "train.checkpoint_every = 6",
    "train.microbatches = 2",
    'train.recompute = "layers"',
    "train.packing = @Packing()",
    "STEPS = 12",
    "linear_warmup_and_cooldown.cooldown_steps = 4",
    "DecoderOnly.vocab_size = 384",
    "DecoderOnly.d_model = 16",
    "DecoderOnly.d_ff = 32",
    "DecoderOnly.num_heads = 2",
    "DecoderOnly.d_kv = 8",
    "DecoderOnly.num_layers = 1",
    "DecoderOnly.expert_layer_every = 1",
    "MixtureOfExperts.num_experts = 2",
    "MixtureOfExperts.group_size = 32",
    "evaluate.num_noise_samples = 2",
    "evaluate.num_resamples = 20",
]


@pytest.fixture
def config(monkeypatch, tmp_path):
    monkeypatch.setenv("MTMOE_CACHE", str(tmp_path / "cache"))
    loaded = load_config([RUN], TINY, roots=["train", "evaluate"])
    yield loaded
    gin.clear_config()


def test_lengths_and_model_go_together(config) -> None:
    assert configured_run().lengths == {"targets": 32}
    for line, kind, message in (
        ('train.lengths = {"inputs": 8}', ConfigError, "is a decoder alone"),
        ('train.recompute = "layer"', UnknownNameError, "did you mean layers"),
        ("train.microbatches = 3", ConfigError, "must divide the batch of 8"),
    ):
        load_config([RUN], [*TINY, line], roots=["train", "evaluate"])
        with pytest.raises(kind, match=message):
            configured_run()
    both = 'train.lengths = {"inputs": 8, "targets": 16}'
    load_config([RUN], [*TINY, both], roots=["train", "evaluate"])
    assert configured_run().lengths == {"targets": 24}  # a row holds both
    load_config(["runs/quickstart.gin"], ['train.lengths = {"targets": 8}'])
    with pytest.raises(
        ConfigError, match="EncoderDecoder needs the lengths of 'inputs'"
    ):
        configured_run()


def test_more_slots_than_asked_for_are_said(config) -> None:
    assert configured_run().notices() == []
    many = "MixtureOfExperts.num_experts = 16"
    load_config([RUN], [*TINY, many], roots=["train", "evaluate"])
    (train_factor,) = configured_run().notices()  # for evaluation 4 slots are wanted
    assert train_factor.startswith("decoder: Capacity.minimum = 4 gives each of 16")


def test_features_of_a_batch_for_a_decoder_alone() -> None:
    batch = Batch(
        {
            "targets": np.array([[5, 6, 7, 0]], np.int32),
            "targets_segments": np.array([[1, 1, 2, 0]], np.int32),
            "targets_prefix": np.array([[1, 0, 0, 0]], np.int32),
            "targets_loss_weights": np.array([[0, 1, 1, 0]], np.float32),
        },
        segment_task=np.array([[1, 0]], np.int32),
        bad_rows={},
    )
    features = batch.with_languages(np.array([4, 9], np.int32))
    assert features["targets_language"].tolist() == [[9, 9, 4, -1]]
    specs = step_features({"targets": 4}, batch_size=1)
    assert {name: (spec.shape, spec.dtype) for name, spec in specs.items()} == {
        name: (value.shape, value.dtype) for name, value in features.items()
    }


@pytest.mark.slow
def test_it_trains_is_evaluated_and_reported(config, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    result = train(folder, configured_run(), config.text, "mtmoe train")
    assert result.step == 12
    lines = [json.loads(x) for x in (folder / "metrics.jsonl").read_text().splitlines()]
    assert len(lines) == 3 and lines[-1]["loss"] < lines[0]["loss"]
    assert lines[0]["padding_fraction"] < 0.01  # a text fills its rows
    assert lines[0]["language_loss"].keys() == {"de", "sw"}
    assert lines[0]["layer_routing"].keys() == {"decoder.0.moe"}
    layer = lines[0]["layer_routing"]["decoder.0.moe"]
    assert layer["dropped_fraction"] == pytest.approx(
        lines[0]["dropped_fraction"], abs=0.02
    )
    assert lines[0]["language_dropped_fraction"].keys() == {"de", "sw"}

    (evaluated,) = evaluate(EvaluationRequest(folder))
    with (evaluated / "per_language.csv").open() as stream:
        rows = [
            row for row in csv.DictReader(stream) if row["metric"] == "bits_per_byte"
        ]
    assert [row["language"] for row in rows] == ["de", "sw"]
    # Untrained it takes 8 bits and more; all text is of 8 letters and blanks.
    assert all(2.0 < float(row["value"]) < 8.0 for row in rows)
    # Half of the text is scored in the mean, and two samples are made of each row.
    assert all(int(row["num_bytes"]) > 3000 for row in rows)
    write_report(folder, tmp_path / "report")
    assert "bits per byte" in (tmp_path / "report" / "report.md").read_text().lower()
