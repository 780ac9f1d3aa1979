"""The rows of an evaluation folder's tables, written and read.

The text of a table is a pure function of its rows: fixed column order, fixed number
formats, plain line feeds, so that two runs with the same numbers give the same bytes.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import math
import typing
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

PER_LANGUAGE_FILE = "per_language.csv"
EXPERTS_FILE = "experts.csv"
EVALUATION_FILE = "evaluation.json"

# Names of metrics.
METRICS = (
    "loss",
    "accuracy",
    "bits_per_byte",
    "mixture_unigram_bits_per_byte",
    "language_unigram_bits_per_byte",
)
UNKNOWN_METRICS = ("unknown_tokens", "unknown_bytes")
"""Of vocabularies without bytes for what has no piece; from 0 to 1."""
OWN_METRIC = "own_"
"""Before the name of a supervised task's own metric."""


@dataclasses.dataclass(frozen=True)
class MetricRow:
    """One row of per_language.csv: one metric of one task.

    Attributes:
      language: code of mtmoe.languages.
      name: the language's English name.
      script: ISO 15924 code.
      task: registered task name, or the scored file's name for a text folder.
      metric: see mtmoe.evaluate.metrics.
      value: the estimate, NaN where there is none.
      ci_low: lower end of the 95 % interval, NaN where there is none.
      ci_high: upper end of the 95 % interval, NaN where there is none.
      num_examples: masked examples behind the value.
      num_bytes: UTF-8 bytes of masked text.
      num_tokens: masked text tokens.
    """

    language: str
    name: str
    script: str
    task: str
    metric: str
    value: float
    ci_low: float
    ci_high: float
    num_examples: int
    num_bytes: int
    num_tokens: int


@dataclasses.dataclass(frozen=True)
class ExpertRow:
    """One row of experts.csv.

    Attributes:
      language: code of mtmoe.languages.
      layer: name of the Switch layer.
      expert: number of the expert, from 0.
      count: non-padding tokens of the language whose first choice it was.
      share: that count over the layer's count in this language.
    """

    language: str
    layer: str
    expert: int
    count: int
    share: float


def metric_csv(rows: Iterable[MetricRow]) -> str:
    """Returns the text of per_language.csv."""
    return _csv(MetricRow, rows)


def expert_csv(rows: Iterable[ExpertRow]) -> str:
    """Returns the text of experts.csv."""
    return _csv(ExpertRow, rows)


def read_metric_rows(path: Path) -> tuple[MetricRow, ...]:
    """Reads per_language.csv."""
    return tuple(MetricRow(**cells) for cells in _read(path, MetricRow))


def read_expert_rows(path: Path) -> tuple[ExpertRow, ...]:
    """Reads experts.csv."""
    return tuple(ExpertRow(**cells) for cells in _read(path, ExpertRow))


def text_cell(value: str) -> str:
    """Returns text a spreadsheet will not run as a formula.

    A cell that starts with = + - @ (or a tab or carriage return before them) gets an
    apostrophe in front.
    """
    return "'" + value if value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def _csv(row_type: type, rows: Iterable[MetricRow] | Iterable[ExpertRow]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([field.name for field in dataclasses.fields(row_type)])
    for row in rows:
        writer.writerow(_cells(dataclasses.astuple(row)))
    return stream.getvalue()


def _cells(values: Sequence[str | int | float]) -> list[str]:
    cells = []
    for value in values:
        if isinstance(value, str):
            cells.append(text_cell(value))
        elif isinstance(value, int):
            cells.append(str(value))
        else:
            cells.append("" if math.isnan(value) else f"{value:.6f}")
    return cells


def _read(path: Path, row_type: type) -> Iterator[dict[str, Any]]:
    """Yields the cells of each row, by name, as the row's type has them."""
    types = typing.get_type_hints(row_type)
    with path.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            yield {
                name: float(row[name] or "nan") if kind is float else kind(row[name])
                for name, kind in types.items()
            }
