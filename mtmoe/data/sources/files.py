"""Records of a file, whatever its container: JSON lines, CSV, TSV, Parquet, text.

Paths may be local or anything TensorFlow's file system layer opens (`gs://...`). A
record that cannot be read is handed to the caller with file, line and reason; nothing
is dropped in silence.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any, cast

import tensorflow as tf

from mtmoe.errors import CorpusError

Record = dict[str, Any]

CONTAINERS = ("jsonl", "json", "ndjson", "csv", "tsv", "parquet", "txt")
"""Endings that are understood; all but parquet also with `.gz` or `.zst` behind."""


@dataclass(frozen=True)
class BadRecord:
    """A record, or the rest of a file, that cannot be read.

    Attributes:
      path: the file.
      line: line number from 1 (Parquet: row number from 1), 0 for the whole file.
      reason: what is wrong.
      ends_file: whether the rest of the file is lost too.
    """

    path: str
    line: int
    reason: str
    ends_file: bool = False

    def __str__(self) -> str:
        """Returns `path:line: reason`."""
        return f"{self.path}:{self.line}: {self.reason}"


def refuse(bad: BadRecord) -> None:
    """Raises CorpusError naming file, line and reason: for data nobody may skip."""
    raise CorpusError(str(bad))


def container(path: str) -> str:
    """Returns which of `CONTAINERS` a file's name says it is.

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
    path: str, on_bad: Callable[[BadRecord], None] = refuse
) -> Iterator[tuple[int, Record]]:
    """Yields (line number, record) of a file, in order.

    A line of a `.txt` file is the record `{"text": line}`; empty lines are passed over.
    CSV and TSV need a header line; their values are strings.

    Args:
      path: the file; its name says what it holds, see `container`.
      on_bad: called with each record that cannot be read; the next one follows, unless
        it raises or the file is damaged beyond it.

    Raises:
      CorpusError: no such file, or a kind of file that is not understood.
    """
    kind = container(path)
    if not tf.io.gfile.exists(path):
        raise CorpusError(f"{path} does not exist")
    if kind == "parquet":
        yield from _parquet_records(path, on_bad)
    elif kind in ("csv", "tsv"):
        yield from _table_records(path, "," if kind == "csv" else "\t", on_bad)
    else:
        for number, line in _text_lines(path, on_bad):
            if not line.strip():
                continue
            if kind == "txt":
                yield number, {"text": line}
                continue
            try:
                record = json.loads(line)
            except ValueError as error:
                on_bad(BadRecord(path, number, f"not JSON: {error}"))
                continue
            if isinstance(record, dict):
                yield number, record
            else:
                on_bad(BadRecord(path, number, "not a JSON object"))


def _text_lines(
    path: str, on_bad: Callable[[BadRecord], None]
) -> Iterator[tuple[int, str]]:
    number = 0
    try:
        with _open(path) as stream:
            for raw in stream:
                number += 1
                try:
                    text = raw.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError as error:
                    byte = error.object[error.start]
                    on_bad(
                        BadRecord(
                            path,
                            number,
                            f"not UTF-8: byte {byte:#04x} at offset {error.start} "
                            "of the line",
                        )
                    )
                    continue
                yield number, text.rstrip("\r\n")
    except _damage() as error:
        on_bad(BadRecord(path, number + 1, f"damaged: {error}", ends_file=True))


def _table_records(
    path: str, delimiter: str, on_bad: Callable[[BadRecord], None]
) -> Iterator[tuple[int, Record]]:
    lines = (text + "\n" for _, text in _text_lines(path, on_bad))
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    header: list[str] | None = None
    try:
        for row in reader:
            if header is None:
                header = row
            elif len(row) == len(header):
                yield reader.line_num, dict(zip(header, row, strict=True))
            elif row:
                reason = f"{len(row)} cells under {len(header)} headings"
                on_bad(BadRecord(path, reader.line_num, reason))
    except csv.Error as error:
        on_bad(BadRecord(path, reader.line_num, str(error), ends_file=True))


def _parquet_records(
    path: str, on_bad: Callable[[BadRecord], None]
) -> Iterator[tuple[int, Record]]:
    import pyarrow
    import pyarrow.parquet

    number = 0
    try:
        with tf.io.gfile.GFile(path, "rb") as stream:
            for batch in pyarrow.parquet.ParquetFile(stream).iter_batches(1024):
                for record in batch.to_pylist():
                    number += 1
                    yield number, record
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        reason = f"damaged: {str(error).splitlines()[0]}"
        on_bad(BadRecord(path, number + 1, reason, ends_file=True))


def _open(path: str) -> IO[bytes]:
    raw = cast(IO[bytes], tf.io.gfile.GFile(path, "rb"))
    if path.lower().endswith(".gz"):
        return cast(IO[bytes], gzip.GzipFile(fileobj=raw))
    if path.lower().endswith(".zst"):
        import zstandard

        reader = zstandard.ZstdDecompressor().stream_reader(
            raw, read_across_frames=True
        )
        return io.BufferedReader(reader)
    return raw


def _damage() -> tuple[type[BaseException], ...]:
    import zstandard

    return (
        OSError,
        EOFError,
        zlib.error,
        zstandard.ZstdError,
        tf.errors.OpError,
    )
