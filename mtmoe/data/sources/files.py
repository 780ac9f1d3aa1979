"""Records of a file, whatever its container: JSON lines, CSV, TSV, Parquet, text.

Paths may be local or anything TensorFlow's file system layer opens (`gs://...`). A
record that cannot be read is handed to the caller with file, line and reason; nothing
is dropped in silence.
"""

from __future__ import annotations

import concurrent.futures
import json
import os
import shlex
from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow as tf

from mtmoe.data.sources.bad_record import BadRecord, OnBad, refuse
from mtmoe.data.sources.parquet_file import parquet_records
from mtmoe.data.sources.so_far import ReadSoFar
from mtmoe.data.sources.tables import Lines, table_records
from mtmoe.data.sources.text_lines import text_lines
from mtmoe.errors import CorpusError, UnknownNameError

__all__ = [
    "CONTAINERS",
    "BadRecord",
    "MissingFieldError",
    "Record",
    "container",
    "file_sizes",
    "file_states",
    "read_records",
    "refuse",
]


Record = dict[str, Any]


class MissingFieldError(UnknownNameError, KeyError):
    """A field that a record does not have; the message has the nearest ones."""

    def __init__(self, name: str, record: Record):
        """Takes the field and the record."""
        super().__init__("field", name, record)
        self._fields = ", ".join(map(repr, record)) or "nothing"

    def __str__(self) -> str:
        """Returns the message; a KeyError would put it in quotes."""
        return f"{self.args[0]}; the record has {self._fields}"


class _Fields(dict[str, Any]):
    """The fields of a record; asking for one it lacks is an error with the nearest."""

    def __missing__(self, name: str) -> Any:
        """Raises MissingFieldError."""
        raise MissingFieldError(name, self)


CONTAINERS = ("jsonl", "json", "ndjson", "csv", "tsv", "parquet", "txt")
"""Endings that are understood; all but parquet also with `.gz` or `.zst` behind."""


def container(path: str) -> str:
    """Returns which of `CONTAINERS` a file's name says it is, in capitals or not.

    Raises:
      CorpusError: none of them.
    """
    parts = path.lower().rsplit("/", 1)[-1].split(".")
    if len(parts) > 2 and parts[-1] in ("gz", "zst"):
        parts.pop()
    if len(parts) > 1 and parts[-1] in CONTAINERS:
        return parts[-1]
    raise CorpusError(
        f"{path}: unknown kind of file; allowed: "
        + ", ".join(f".{name}" for name in CONTAINERS)
        + ", with .gz or .zst behind"
    )


def read_records(
    path: str,
    on_bad: OnBad = refuse,
    columns: Sequence[str] = (),
    quoted: bool | None = None,
    so_far: ReadSoFar | None = None,
) -> Iterator[tuple[int, Record]]:
    """Yields (line number, record) of a file, in order.

    A line of a `.txt` file is the record `{"text": line}`; empty lines are passed over.
    CSV and TSV need a line of headings; their values are strings.

    Args:
      path: the file; its name says what it holds, see `container`.
      on_bad: called with each record that cannot be read; the next one follows, unless
        it raises or the file is damaged beyond it.
      columns: of Parquet, the columns to read, those there are of them; all if empty.
      quoted: whether cells of a table may stand in double quotes (RFC 4180); if None
        those of `.csv` may, those of `.tsv` may not.
      so_far: is told how far the reading has come, where somebody asks.

    Raises:
      CorpusError: no such file, a kind of file that is not understood, no text in
        UTF-8, a JSON array, or two headings that are the same.
    """
    kind = container(path)
    if not tf.io.gfile.exists(path):
        raise CorpusError(f"{path} does not exist")
    if kind == "parquet":
        records = parquet_records(path, on_bad, columns, so_far)
    else:
        lines = text_lines(path, on_bad, so_far)
        records = _records_of_lines(path, kind, lines, on_bad, quoted)
    for number, record in records:
        yield number, _Fields(record)


def _records_of_lines(
    path: str, kind: str, lines: Lines, on_bad: OnBad, quoted: bool | None
) -> Iterator[tuple[int, dict[str, Any]]]:
    if kind in ("csv", "tsv"):
        delimiter = "," if kind == "csv" else "\t"
        quoted = kind == "csv" if quoted is None else quoted
        return table_records(path, lines, delimiter, quoted, on_bad)
    if kind == "txt":
        return ((number, {"text": line}) for number, line in lines if line.strip())
    return _json_records(path, lines, on_bad)


def _json_records(
    path: str, lines: Lines, on_bad: OnBad
) -> Iterator[tuple[int, dict[str, Any]]]:
    is_first = True
    for number, line in lines:
        if not line.strip():
            continue
        if is_first:
            _refuse_one_document(path, number, line.strip())
        is_first = False
        try:
            record = json.loads(line)
        except ValueError as error:
            on_bad(BadRecord(path, number, f"not JSON: {error}"))
            continue
        except RecursionError:
            on_bad(BadRecord(path, number, "not JSON: nested too deeply"))
            continue
        if isinstance(record, dict):
            yield number, record
        else:
            on_bad(BadRecord(path, number, "not a JSON object"))


def _refuse_one_document(path: str, number: int, line: str) -> None:
    """Raises CorpusError if a file is a JSON array, or an object over many lines."""
    if line.startswith("["):
        what, wanted = "a JSON array", ".[]"
    elif line == "{":
        what, wanted = "a JSON object over several lines", "."
    else:
        return
    name = os.path.basename(path)
    stem = name.partition(".")[0]
    raise CorpusError(
        f"{path}:{number}: {what}; wanted is one JSON object a line. Convert it: "
        f"jq -c '{wanted}' {shlex.quote(name)} > {shlex.quote(f'{stem}.jsonl')}"
    )


def file_states(paths: Sequence[str]) -> list[str]:
    """Returns a line for each file that changes with it: path, size, time of change.

    Raises:
      CorpusError: a file does not exist.
    """
    states = zip(paths, _states(paths), strict=True)
    return [f"{path}, {size} bytes, {time} ns" for path, (size, time) in states]


def file_sizes(paths: Sequence[str]) -> list[int]:
    """Returns the bytes of each file.

    Raises:
      CorpusError: a file does not exist.
    """
    return [size for size, _ in _states(paths)]


def _states(paths: Sequence[str]) -> list[tuple[int, int]]:
    if not any("://" in path for path in paths):
        return [_state(path) for path in paths]
    with concurrent.futures.ThreadPoolExecutor(32) as pool:  # a round trip each
        return list(pool.map(_state, paths))


def _state(path: str) -> tuple[int, int]:
    try:
        if "://" in path:
            remote = tf.io.gfile.stat(path)
            return int(remote.length), int(remote.mtime_nsec)
        local = os.stat(path)
    except (FileNotFoundError, tf.errors.NotFoundError) as error:
        raise CorpusError(f"{path} does not exist") from error
    return local.st_size, local.st_mtime_ns
