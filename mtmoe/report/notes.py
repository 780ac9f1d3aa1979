"""What a reader must know besides the numbers: what is missing or unusual."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from mtmoe.report.results import LanguageResult
from mtmoe.report.wording import percent

_SHOWN = 12


def notes(
    evaluation: Mapping[str, Any], results: Sequence[LanguageResult]
) -> list[str]:
    """Returns notes on the content of evaluation.json and what it scored."""
    left_out = evaluation.get("left_out", ())
    found = [f"Not scored: {_left_out(task)}." for task in left_out[:_SHOWN]]
    more = len(left_out) - len(found)
    if more > 0:
        found.append(f"Not scored either: {more} more tasks, see evaluation.json.")
    if evaluation["split"] == "train":
        found.append(
            "The text scored is that of the split train, which the model was trained "
            "on: nothing here says how it does on other text."
        )
    if objective := evaluation.get("untrained_objective"):
        found.append(
            f"The text was made into examples by {objective}, which is not how the "
            "model was trained."
        )
    found += _parts(evaluation, results)
    routing = evaluation.get("routing")
    if routing and routing["packed_in_training"]:
        found.append(
            "Trained on rows that hold several examples and scored on rows of one, "
            "whose padding leaves experts more room. Which tokens a full expert drops "
            f"is decided as in training ({routing['priority']})."
        )
    return found


def _left_out(task: Mapping[str, str]) -> str:
    language = f" ({task['language']})" if task["language"] else ""
    whose = "" if task.get("what", "task") == "task" else f"{task['what']} of "
    return f"{whose}{task['task']}{language}, since {task['reason']}"


def _parts(
    evaluation: Mapping[str, Any], results: Sequence[LanguageResult]
) -> list[str]:
    """Returns which tasks were read in part, and which languages lack a baseline."""
    read = {
        task: (facts["tokens_read"], facts["tokens_in_split"])
        for task, facts in evaluation["tasks"].items()
        if "tokens_read" in facts
    }
    shares = [part / whole for part, whole in read.values() if whole and part < whole]
    beginnings = [task for task, (_, whole) in read.items() if whole is None]
    found = []
    if shares:
        found.append(
            f"Of {len(shares)} large tasks a seeded choice of rows was scored, "
            f"{percent(min(shares), 2)} to {percent(max(shares), 2)} of their tokens."
        )
    if beginnings:
        found.append(
            f"Of {len(beginnings)} tasks that are not cached the beginning was scored: "
            f"{_named(beginnings)}."
        )
    unknown = [r.name for r in results if math.isnan(r.language_unigram_bits_per_byte)]
    if unknown:
        found.append(
            "No unigram model of their own, since the model was not trained on text of "
            f"the language: {_named(unknown)}."
        )
    return found


def _named(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
