"""Records of a file, whatever its container: JSON lines, CSV, TSV, Parquet, text.

Paths may be local or anything TensorFlow's file system layer opens (`gs://...`). A
record that cannot be read is handed to the caller with file, line and reason; nothing
is dropped in silence.
"""

from __future__ import annotations

import concurrent.futures
import csv
import gzip
import io
import json
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any, cast

import tensorflow as tf

from mtmoe.errors import CorpusError

Record = dict[str, Any]

_CHUNK = 1 << 20

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
    path: str,
    on_bad: Callable[[BadRecord], None] = refuse,
    columns: Sequence[str] = (),
) -> Iterator[tuple[int, Record]]:
    """Yields (line number, record) of a file, in order.

    A line of a `.txt` file is the record `{"text": line}`; empty lines are passed over.
    CSV and TSV need a header line; their values are strings.

    Args:
      path: the file; its name says what it holds, see `container`.
      on_bad: called with each record that cannot be read; the next one follows, unless
        it raises or the file is damaged beyond it.
      columns: of Parquet, the columns to read, those there are of them; all if empty.

    Raises:
      CorpusError: no such file, or a kind of file that is not understood.
    """
    kind = container(path)
    if not tf.io.gfile.exists(path):
        raise CorpusError(f"{path} does not exist")
    if kind == "parquet":
        yield from _parquet_records(path, on_bad, columns)
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
            except RecursionError:
                on_bad(BadRecord(path, number, "not JSON: nested too deeply"))
                continue
            except ValueError as error:
                on_bad(BadRecord(path, number, f"not JSON: {error}"))
                continue
            if isinstance(record, dict):
                yield number, record
            else:
                on_bad(BadRecord(path, number, "not a JSON object"))


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
                    on_bad(BadRecord(path, number, _not_utf8(error, "line")))
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
    path: str, on_bad: Callable[[BadRecord], None], columns: Sequence[str]
) -> Iterator[tuple[int, Record]]:
    import pyarrow
    import pyarrow.parquet

    number = 0
    try:
        with _SeekableStream(path) as stream:
            file = pyarrow.parquet.ParquetFile(stream)
            there_are = [x for x in columns if x in file.schema_arrow.names] or None
            for batch in file.iter_batches(1024, columns=there_are):
                for record in _rows(batch):
                    number += 1
                    if isinstance(record, UnicodeDecodeError):
                        on_bad(BadRecord(path, number, _not_utf8(record, "value")))
                    else:
                        yield number, record
    except (pyarrow.ArrowException, OSError, ValueError, tf.errors.OpError) as error:
        reason = f"damaged: {str(error).splitlines()[0]}"
        on_bad(BadRecord(path, number + 1, reason, ends_file=True))


def _rows(batch: Any) -> Iterator[Record | UnicodeDecodeError]:
    """Yields the rows of a batch, and an error for each that is not UTF-8."""
    try:
        yield from batch.to_pylist()
        return
    except UnicodeDecodeError:
        pass
    for index in range(batch.num_rows):
        try:
            yield batch.slice(index, 1).to_pylist()[0]
        except UnicodeDecodeError as error:
            yield error


def _not_utf8(error: UnicodeDecodeError, place: str) -> str:
    byte = error.object[error.start]
    return f"not UTF-8: byte {byte:#04x} at offset {error.start} of the {place}"


def _open(path: str) -> IO[bytes]:
    raw = cast(IO[bytes], tf.io.gfile.GFile(path, "rb"))
    if path.lower().endswith(".gz"):
        return cast(IO[bytes], gzip.GzipFile(fileobj=raw))
    if path.lower().endswith(".zst"):
        return io.BufferedReader(_ZstdStream(raw))
    return raw


class _ZstdStream(io.RawIOBase):
    """The content of a Zstandard file, frame after frame.

    Unlike the library's own reader it tells a file that ends inside a frame.
    """

    def __init__(self, raw: IO[bytes]):
        import zstandard

        self._raw = raw
        self._new_frame = zstandard.ZstdDecompressor().decompressobj
        self._frame: Any = None
        self._ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            compressed = self._raw.read(_CHUNK)
            if not compressed:
                if self._frame is not None:
                    raise EOFError("the file ends inside a Zstandard frame")
                return 0
            self._ready = self._decompress(compressed)
        size = min(len(buffer), len(self._ready))
        buffer[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        return size

    def _decompress(self, compressed: bytes) -> bytes:
        text = b""
        while compressed:
            self._frame = self._frame or self._new_frame()
            text += self._frame.decompress(compressed)
            compressed = b""
            if self._frame.eof:
                compressed, self._frame = self._frame.unused_data, None
        return text


class _SeekableStream(io.RawIOBase):
    """A file of TensorFlow's file system layer as Parquet's reader wants it."""

    def __init__(self, path: str):
        self._file = tf.io.gfile.GFile(path, "rb")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return int(self._file.tell())

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._file.seek(offset, whence)
        return self.tell()

    def readinto(self, buffer: Any) -> int:
        content = self._file.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)


def _damage() -> tuple[type[BaseException], ...]:
    import zstandard

    return (
        OSError,
        EOFError,
        zlib.error,
        zstandard.ZstdError,
        tf.errors.OpError,
    )
