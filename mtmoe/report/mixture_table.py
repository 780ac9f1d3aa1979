"""The plan of a mixture as CSV (docs/mixing.md)."""

from __future__ import annotations

import csv
import io

from mtmoe.data.mixing.plan_rows import MixturePlan, PlanRow
from mtmoe.evaluate.records import text_cell

COLUMNS = (
    "level",
    "name",
    "language",
    "family",
    "paths",
    "num_tasks",
    "share_of_examples",
    "share_of_tokens",
    "examples",
    "tokens",
    "tokens_per_example",
    "tokens_per_example_basis",
    "epoch_examples",
    "epochs",
    "epochs_basis",
    "bytes_per_token",
    "bytes_per_token_basis",
    "repeated",
    "size",
)
"""Names of the columns; new ones are added at the end."""


def mixture_csv(plan: MixturePlan) -> str:
    """Returns one row a task, then a language, then the total; empty is unknown."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for level, rows in (
        ("task", plan.tasks),
        ("language", plan.languages),
        ("total", (plan.total,)),
    ):
        for row in rows:
            writer.writerow([level, *_cells(plan, row)])
    return stream.getvalue()


def _cells(plan: MixturePlan, row: PlanRow) -> list[str]:
    return [
        text_cell(row.name),
        text_cell(row.language),
        row.family,
        text_cell(" ".join(row.paths)),
        str(row.num_tasks),
        _number(row.share_of_examples, 8),
        _number(row.share_of_tokens, 8),
        _number(row.examples, 1),
        _number(row.tokens, 1),
        _number(row.tokens_per_example, 3),
        row.bases["tokens_per_example"],
        _number(row.epoch_examples, 1),
        _number(row.epochs, 4),
        row.bases["epochs"],
        _number(row.bytes_per_token, 4),
        row.bases["bytes_per_token"],
        "yes" if plan.is_repeated(row) else "no" if row.epochs is not None else "",
        row.size,
    ]


def _number(value: float | None, decimals: int) -> str:
    return "" if value is None else f"{value:.{decimals}f}"
