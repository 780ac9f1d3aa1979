"""Embedded supervised tasks from training to their own metrics and the report."""

from __future__ import annotations

import json

import gin
import pytest

from mtmoe.config.load import load_config
from mtmoe.evaluate.records import read_metric_rows
from mtmoe.evaluate.run import EvaluationRequest, evaluate
from mtmoe.report.write import write_report
from mtmoe.train.loop import train
from mtmoe.train.settings import configured_run

TINY = [
    'register.task_modules = ["few_embedded_tasks"]',
    "configured_vocabulary.factory = @byte_vocabulary",
    'train.mixture = "few_embedded"',
    'train.lengths = {"inputs": 96, "targets": 24}',
    "train.batch_size = 16",
    "train.log_every = 50",
    "train.checkpoint_every = 150",
    "STEPS = 150",
    "EncoderDecoder.vocab_size = 384",
    "EncoderDecoder.d_model = 32",
    "EncoderDecoder.d_ff = 64",
    "EncoderDecoder.num_heads = 2",
    "EncoderDecoder.d_kv = 16",
    "EncoderDecoder.num_encoder_layers = 1",
    "EncoderDecoder.num_decoder_layers = 1",
    "EncoderDecoder.expert_layer_every = 1",
    "MixtureOfExperts.num_experts = 4",
    "evaluate.num_resamples = 50",
]


@pytest.mark.slow
def test_metrics_reach_the_report(tmp_path, monkeypatch):
    monkeypatch.setenv("MTMOE_CACHE", str(tmp_path / "cache"))
    config = load_config(["runs/quickstart.gin"], TINY, roots=["train", "evaluate"])
    folder = tmp_path / "model"
    train(folder, configured_run(), config.text, "mtmoe train")
    gin.clear_config()
    request = EvaluationRequest(folder, max_examples=12, strategy="beam_search")
    [directory] = evaluate(request)
    values = {
        (row.task, row.metric): row
        for row in read_metric_rows(directory / "per_language.csv")
        if row.metric.startswith("own_")
    }
    assert set(values) == {
        ("embedded.script_of_text.de", "own_accuracy"),
        ("embedded.territory_code.fr", "own_exact_match"),
        ("embedded.language_name.sw", "own_exact_match"),
        ("embedded.language_name.sw", "own_chrf++"),
        ("embedded.command_domain.de", "own_accuracy"),
        ("embedded.command_domain.de", "own_macro_f1"),
    }
    assert all(0.0 <= row.value <= 100.0 for row in values.values())
    # All German text is in one script, which is soon learned.
    assert values["embedded.script_of_text.de", "own_accuracy"].value > 90.0
    facts = json.loads((directory / "evaluation.json").read_text("utf-8"))
    assert facts["decoding"]["strategy"] == "BeamSearch"

    write_report(folder, tmp_path / "report")
    summary = json.loads((tmp_path / "report" / "summary.json").read_text("utf-8"))
    by_name = {group["name"]: group["own_metrics"] for group in summary["supervised"]}
    assert by_name["embedded.script_of_text.<language>"]["accuracy"] > 90.0
    assert "exact match" in (tmp_path / "report" / "report.html").read_text("utf-8")
