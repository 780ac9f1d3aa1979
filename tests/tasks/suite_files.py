"""Writes the files of suites in the layouts they are published in."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

Records = Sequence[Mapping[str, Any]]


def write_records(path: Path, records: Records) -> None:
    """Writes records to a file, in the container its name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(records)), path)
    elif path.suffix == ".tsv":
        with path.open("w", encoding="utf-8", newline="") as stream:
            table = csv.DictWriter(stream, list(records[0]), delimiter="\t")
            table.writeheader()
            table.writerows(records)
    else:
        lines = (json.dumps(record, ensure_ascii=False) for record in records)
        path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def file_for(pattern: str) -> str:
    """Returns a published name that a pattern of file names is for."""
    if pattern.endswith("/*.parquet"):
        return pattern.replace("*", "0000")
    if pattern.endswith(".parquet"):
        return pattern.replace("*", "-00000-of-00001")
    if pattern.endswith("/val*"):
        return pattern.replace("*", "idation-00000-of-00001.parquet")
    if pattern.endswith("*"):
        return pattern.replace("*", "-00000-of-00001.parquet")
    return pattern.replace("*", "")


def renamed_everywhere(records: Records, field: str) -> list[dict[str, Any]]:
    """Returns the records with a field under another name, as in a whole table."""
    return [
        {f"{name}_" if name == field else name: value for name, value in record.items()}
        for record in records
    ]
