"""Rows of a Parquet file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow as tf

from mtmoe.data.sources.bad_record import BadRecord, OnBad
from mtmoe.data.sources.so_far import ReadSoFar
from mtmoe.data.sources.text_lines import SeekableStream, not_utf8

_ROWS = 1024  # read together


def parquet_records(
    path: str,
    on_bad: OnBad,
    columns: Sequence[str] = (),
    so_far: ReadSoFar | None = None,
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields (row number from 1, record) of a Parquet file.

    Args:
      path: the file.
      on_bad: called with each row that is not UTF-8, and where damage ends the file.
      columns: the columns to read, those there are of them; all if empty.
      so_far: is told how far the reading has come, where somebody asks.
    """
    import pyarrow
    import pyarrow.parquet

    number = 0
    try:
        with SeekableStream(path) as stream:
            file = pyarrow.parquet.ParquetFile(stream)
            if so_far is not None:
                num_rows = max(file.metadata.num_rows, 1)
                so_far.fraction = lambda: number / num_rows
            there_are = [x for x in columns if x in file.schema_arrow.names] or None
            for batch in file.iter_batches(_ROWS, columns=there_are):
                for record in _rows(batch):
                    number += 1
                    if isinstance(record, UnicodeDecodeError):
                        on_bad(BadRecord(path, number, not_utf8(record, "value")))
                    else:
                        yield number, record
    except (pyarrow.ArrowException, OSError, ValueError, tf.errors.OpError) as error:
        reason = f"damaged: {str(error).splitlines()[0]}"
        on_bad(BadRecord(path, number + 1, reason, ends_file=True))


def _rows(batch: Any) -> Iterator[dict[str, Any] | UnicodeDecodeError]:
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
