"""The summary of a report: the numbers of its headlines, and of every language."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mtmoe.report.folder import ModelFolder
from mtmoe.report.notes import notes
from mtmoe.report.results import LanguageResult, headline_results
from mtmoe.report.supervised import supervised_groups
from mtmoe.report.training_languages import language_curves, warning_lines


def summary(
    folder: ModelFolder, all_results: Sequence[LanguageResult]
) -> dict[str, Any]:
    """Returns the content of summary.json; docs/outputs.md explains every key."""
    results = headline_results(all_results)
    last = folder.training[-1]
    tokens = training_tokens(folder.training)
    return {
        "model_dir": folder.name,
        "mixture": folder.evaluation["mixture"],
        "split": folder.evaluation["split"],
        "text_dir": folder.evaluation.get("text_dir"),
        "left_out": list(folder.evaluation.get("left_out", ())),
        "notes": notes(folder.evaluation, all_results),
        "evaluated_step": folder.step,
        "evaluated_steps": list(folder.evaluated_steps),
        "languages": len({result.language for result in results}),
        "mean_bits_per_byte": _mean(r.bits_per_byte.value for r in results),
        "mean_bits_per_byte_interval": folder.evaluation["mean_bits_per_byte_interval"],
        "mean_mixture_unigram_bits_per_byte": _mean(
            r.mixture_unigram_bits_per_byte for r in results
        ),
        "mean_language_unigram_bits_per_byte": _mean(
            r.language_unigram_bits_per_byte for r in results
        ),
        "mean_loss": _mean(r.loss for r in results),
        "mean_accuracy": _mean(r.accuracy for r in results),
        "languages_below_mixture_unigram": sum(r.below_mixture for r in results),
        "languages_below_language_unigram": sum(r.below_own for r in results),
        "dropped_fraction": folder.evaluation["dropped_fraction"],
        "expert_load_max_over_mean": folder.evaluation["expert_load_max_over_mean"],
        "steps": int(last["step"]),
        "training_tokens": tokens,
        "training_seconds": last["time"],
        "tokens_per_second": tokens / last["time"],
        "training_loss": last["loss"],
        "parameters": folder.provenance["parameters"],
        "seed": folder.provenance["seed"],
        "training_language_loss": {
            curve.code: {"first": curve.losses[0], "last": curve.losses[-1]}
            for curve in sorted(
                language_curves(folder.training), key=lambda curve: curve.code
            )
        },
        "damaged_records": dict(last.get("damaged_records", {})),
        "damaged_rows": dict(last.get("damaged_rows", {})),
        "training_warnings": list(warning_lines(folder.training)),
        "supervised": [
            dataclasses.asdict(group) for group in supervised_groups(all_results)
        ],
        "per_language": {
            result.task: _language_entry(result) for result in all_results
        },
    }


def training_tokens(training: Sequence[Mapping[str, Any]]) -> int:
    """Returns tokens trained on: tokens a second, times the seconds of each line."""
    tokens = previous = 0.0
    for record in training:
        tokens += record["tokens_per_second"] * (record["time"] - previous)
        previous = record["time"]
    return round(tokens)


def _language_entry(result: LanguageResult) -> dict[str, Any]:
    entry = {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in dataclasses.asdict(result).items()
    }
    entry["bits_per_byte"] = result.bits_per_byte.value
    low, high = result.bits_per_byte.low, result.bits_per_byte.high
    entry["bits_per_byte_interval"] = None if math.isnan(low) else [low, high]
    return entry


def _mean(values: Iterable[float]) -> float | None:
    """Returns the mean of those that are numbers; None without any."""
    listed = [value for value in values if not math.isnan(value)]
    return sum(listed) / len(listed) if listed else None
