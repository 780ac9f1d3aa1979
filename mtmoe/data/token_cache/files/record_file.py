"""ArrayRecord files: written by their library, read at any place without it.

The library's reader starts 64 threads and takes 150 us for a record: too much for a
training batch. What it writes with `group_size:1,uncompressed` can be read in place: an
ArrayRecord file is a Riegeli file (github.com/google/riegeli, "Riegeli/records file
format") in which each record is a chunk of its own, as it is:

    header_hash u64 | data_size u64 | data_hash u64 | type u8 | num_records u56 |
    decoded_data_size u64 | data: 0 | varint of the size's size | varint size | record

Every 64 KiB the file is interrupted, wherever that falls, by a block header of 24
bytes.

Legend: R records.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import resource
import struct
import threading
from collections.abc import Iterable, Iterator
from typing import IO, NamedTuple

import numpy as np
import numpy.typing as npt

from mtmoe.data.token_cache.files.storage import Location, is_remote, read_range
from mtmoe.errors import CorpusError, DamagedRecordError, MtmoeError

UInt64Array = npt.NDArray[np.uint64]
UInt32Array = npt.NDArray[np.uint32]

_OPTIONS = "group_size:1,uncompressed"
_BLOCK = 1 << 16
_BLOCK_HEADER = 24
_CHUNK_HEADER = struct.Struct("<QQQQQ")
# The first bytes of a chunk's data: enough for the numbers before a record, or in the
# postscript before the footer's offset ends.
_CHUNK_HEAD = 16
_RECORDS = ord("r")
_DISK_BLOCK = 4096
_SPARSE_UP_TO = 2**20  # bytes
_SKIPPED = frozenset(b"smp")  # signature, metadata, padding


class RecordPlaces(NamedTuple):
    """Where the records of a file are.

    Attributes:
      offsets: uint64 [R]: byte of the file where each record begins.
      sizes: uint32 [R]: bytes of each record, block headers inside it not counted.
    """

    offsets: UInt64Array
    sizes: UInt32Array


def write_records(path: Location, records: Iterable[bytes]) -> RecordPlaces:
    """Writes a local ArrayRecord file that `RecordFile` and any reader can read.

    Args:
      path: the file, replaced if it is there. It is complete only when this returns.
      records: the records, in order; they are taken one by one.

    Returns:
      Where the records are.

    Raises:
      MtmoeError: the file cannot be written.
    """
    from array_record.python import array_record_module

    path = os.fspath(path)
    sizes = []
    with _errors_named(path):
        writer = array_record_module.ArrayRecordWriter(path, _OPTIONS)
    for record in records:
        with _errors_named(path):
            writer.write(record)
        sizes.append(len(record))
    with _errors_named(path):
        writer.close()
        _give_back_zeros(path)
    places = find_records(path)
    if places.sizes.tolist() != sizes:
        raise MtmoeError(
            f"{path}: the installed array_record does not write one record "
            "a chunk as it is; use one that does, such as 0.8"
        )
    return places


def _give_back_zeros(path: str) -> None:
    """Makes a small file sparse: the library pads each to 128 KiB, nearly all zeros."""
    if os.path.getsize(path) > _SPARSE_UP_TO:
        return
    with open(path, "r+b") as file:
        content = file.read()
        file.truncate(0)
        for start in range(0, len(content), _DISK_BLOCK):
            block = content[start : start + _DISK_BLOCK]
            if any(block):
                file.seek(start)
                file.write(block)
        file.truncate(len(content))


def find_records(path: Location) -> RecordPlaces:
    """Returns where the records of a local file are, by walking over its headers.

    Raises:
      DamagedRecordError: a header is not one that `write_records` makes.
    """
    path = os.fspath(path)
    try:
        with open(path, "rb") as file:
            mapped = _map(file)
    except ValueError as error:
        raise DamagedRecordError(path, 0, "the file is empty") from error
    return _Walk(path, memoryview(mapped)).places()


class RecordFile:
    """Records of a file, read in any order by any thread.

    A local file is mapped into memory at the first read, and may be replaced by another
    one then, but not written to in place. Of a remote one each read fetches the
    record's bytes alone.
    """

    def __init__(self, path: Location, offsets: UInt64Array, sizes: UInt32Array):
        """Notes the places; the file is not opened yet.

        Args:
          path: the file, local or `gs://...`.
          offsets: uint64 [R]: byte of the file where each record begins.
          sizes: uint32 [R]: bytes of each record.
        """
        self.path = os.fspath(path)
        self._offsets = offsets
        self._sizes = sizes
        self._remote = is_remote(path)
        self._mapped: memoryview | None = None
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Returns the number of records."""
        return len(self._offsets)

    def offset(self, record: int) -> int:
        """Returns the byte of the file where a record begins."""
        return int(self._offsets[record])

    def read(self, record: int) -> bytes | memoryview:
        """Returns a record, without a copy where no block header lies inside it.

        Raises:
          DamagedRecordError: the file ends before the record does.
          CorpusError: the file cannot be read at all.
        """
        offset = int(self._offsets[record])
        size = int(self._sizes[record])
        if self._remote:
            return self._read_remote(offset, size)
        mapped = self._mapped
        if mapped is None:
            mapped = self._map(offset)
        end = offset + size
        if offset % _BLOCK + size > _BLOCK:
            end = _advance(offset, size)
        if end > len(mapped):
            raise self._too_short(offset, end)
        return _without_block_headers(mapped[offset:end], offset, size)

    def _read_remote(self, offset: int, size: int) -> bytes | memoryview:
        end = _advance(offset, size)
        try:
            content = read_range(self.path, offset, end - offset)
        except OSError as error:
            raise CorpusError(f"cannot read {self.path}: {error}") from error
        if len(content) < end - offset:
            raise self._too_short(offset, end)
        return _without_block_headers(memoryview(content), offset, size)

    def _map(self, offset: int) -> memoryview:
        with self._lock:
            if self._mapped is None:
                try:
                    self._mapped = memoryview(_open_and_map(self.path))
                except ValueError as error:
                    raise self._too_short(offset, offset + 1) from error
                except OSError as error:
                    raise CorpusError(f"cannot read {self.path}: {error}") from error
            return self._mapped

    def _too_short(self, offset: int, end: int) -> DamagedRecordError:
        reason = f"the file ends before the record does, at byte {end}"
        return DamagedRecordError(self.path, offset, reason)


class _Walk:
    """A walk over the chunks of a file, from the first one to the footer."""

    def __init__(self, path: str, mapped: memoryview):
        self.path = path
        self.mapped = mapped

    def places(self) -> RecordPlaces:
        offsets, sizes = [], []
        offset, footer = 0, self._footer_offset()
        while offset < footer:
            chunk = self._chunk(offset)
            if chunk.kind == _RECORDS:
                size, prelude = self._only_record(offset, chunk)
                record = _advance(offset, _CHUNK_HEADER.size + prelude)
                offsets.append(_after_block_header(record) if size else record)
                sizes.append(size)
            offset = _advance(offset, _CHUNK_HEADER.size + chunk.data_size)
        if offset != footer:
            raise self._damaged(footer, "the footer is not where the records end")
        return RecordPlaces(np.array(offsets, np.uint64), np.array(sizes, np.uint32))

    def _footer_offset(self) -> int:
        """Reads the postscript: a chunk in the file's last block that names the footer.

        It holds three records; the first is a protocol buffer whose field 1 is the
        footer's offset.
        """
        begin = len(self.mapped) - _BLOCK
        if begin <= 0 or begin % _BLOCK:
            raise self._damaged(0, f"{len(self.mapped)} bytes are not a whole file")
        chunk = self._chunk(begin)
        if chunk.kind != _RECORDS or chunk.head[:2] != b"\0\3" or chunk.head[5] != 8:
            raise self._damaged(begin, "the last block holds no postscript")
        return _varint(chunk.head, 6)[0]

    def _chunk(self, offset: int) -> _Chunk:
        begin = _after_block_header(offset)
        size = _CHUNK_HEADER.size + _CHUNK_HEAD
        end = _advance(begin, size)
        if end > len(self.mapped):
            raise self._damaged(offset, "the file ends inside a chunk")
        content = _without_block_headers(self.mapped[begin:end], begin, size)
        _, data_size, _, kind_and_count, _ = _CHUNK_HEADER.unpack_from(content)
        kind = kind_and_count & 255
        if kind != _RECORDS and kind not in _SKIPPED:
            raise self._damaged(offset, f"a chunk of the unknown type {kind}")
        return _Chunk(kind, data_size, bytes(content[_CHUNK_HEADER.size :]))

    def _only_record(self, offset: int, chunk: _Chunk) -> tuple[int, int]:
        """Returns the size of a chunk's record, and the bytes of its data before it."""
        if chunk.head[0] != 0:
            raise self._damaged(offset, "a compressed chunk")
        sizes_size, sizes = _varint(chunk.head, 1)
        size, prelude = _varint(chunk.head, sizes)
        if prelude - sizes != sizes_size or prelude + size != chunk.data_size:
            raise self._damaged(offset, "a chunk that does not hold one record")
        return size, prelude

    def _damaged(self, offset: int, reason: str) -> DamagedRecordError:
        return DamagedRecordError(self.path, offset, reason)


class _Chunk(NamedTuple):
    """A chunk: its type, the bytes of its data, and the first of them."""

    kind: int
    data_size: int
    head: bytes


def _after_block_header(offset: int) -> int:
    """Returns the first byte at or behind `offset` that is not of a block header."""
    return offset + max(0, _BLOCK_HEADER - offset % _BLOCK)


def _advance(offset: int, size: int) -> int:
    """Returns where `size` bytes of content that begin at `offset` end."""
    if not size:
        return offset
    offset = _after_block_header(offset)
    # Headers between: one for each time the content goes on behind a block's end.
    headers = (offset % _BLOCK - _BLOCK_HEADER + size - 1) // (_BLOCK - _BLOCK_HEADER)
    return offset + size + headers * _BLOCK_HEADER


def _without_block_headers(
    content: memoryview, offset: int, size: int
) -> bytes | memoryview:
    """Cuts out the block headers of bytes that lie at `offset` in their file."""
    if len(content) == size:
        return content
    end = _BLOCK - offset % _BLOCK
    pieces = [content[:end]]
    pieces += [
        content[block + _BLOCK_HEADER : block + _BLOCK]
        for block in range(end, len(content), _BLOCK)
    ]
    return b"".join(pieces)


def _varint(content: bytes, offset: int) -> tuple[int, int]:
    """Returns a number of 7 bits a byte, and where it ends."""
    value = shift = 0
    while content[offset] >= 128 and offset + 1 < len(content):
        value |= (content[offset] & 127) << shift
        shift += 7
        offset += 1
    return value | content[offset] << shift, offset + 1


@contextlib.contextmanager
def _errors_named(path: str) -> Iterator[None]:
    """Gives what the library raises, always a RuntimeError, the file's name."""
    try:
        yield
    except RuntimeError as error:
        raise MtmoeError(f"cannot write {path}: {error}") from error


def _open_and_map(path: str) -> mmap.mmap:
    """Maps a file into memory; a map keeps a file descriptor, so they may run out."""
    try:
        return _open_and_map_once(path)
    except OSError as error:
        if error.errno != errno.EMFILE:
            raise
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return _open_and_map_once(path)


def _open_and_map_once(path: str) -> mmap.mmap:
    with open(path, "rb") as file:
        mapped = _map(file)
    # Rows are read at random: reading ahead would fetch thirty pages for one.
    mapped.madvise(mmap.MADV_RANDOM)
    return mapped


def _map(file: IO[bytes]) -> mmap.mmap:
    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
