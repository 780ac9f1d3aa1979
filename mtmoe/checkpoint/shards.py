"""A shard: the pieces that one process wrote, in one safetensors file, and its index.

The data file opens with any reader of safetensors. A variable that is whole in it has
its plain name; a slice has its place behind it: `decoder/wi[0:4, 0:512]`.

The index has a CRC-32 of the file's header and of every block of each piece, so that
every byte is checked, and reading a part of a piece reads the blocks it lies in alone.
"""

from __future__ import annotations

import dataclasses
import json
import math
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from mtmoe.checkpoint.manifest import check_file, read_signed_json, signed_json
from mtmoe.checkpoint.pieces import Box, Piece, whole
from mtmoe.errors import CheckpointError
from mtmoe.files import naming, new_file, synchronize, write_file

BLOCK_BYTES = 1 << 20
_CRC_DIGITS = 8
# Names of safetensors for NumPy's.
_SAFETENSORS = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint64": "U64",
    "uint32": "U32",
    "uint16": "U16",
    "uint8": "U8",
    "bool": "BOOL",
}


@dataclasses.dataclass(frozen=True)
class StoredPiece:
    """A piece in a shard's file.

    Attributes:
      name: the variable.
      shape: of the whole variable.
      dtype: NumPy's name of its type.
      box: where the piece lies in it.
      offset: the byte of the file where it begins.
      crc32: of each block of `BLOCK_BYTES`, eight hexadecimal digits each.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    box: Box
    offset: int
    crc32: str

    @property
    def bytes(self) -> int:
        """Its size in the file."""
        return self.box.elements * dtype_of(self.dtype).itemsize

    def to_json(self) -> dict[str, Any]:
        """Returns its entry of the index."""
        return {
            "name": self.name,
            "shape": list(self.shape),
            "dtype": self.dtype,
            "begin": list(self.box.begin),
            "size": list(self.box.size),
            "offset": self.offset,
            "crc32": self.crc32,
        }

    @classmethod
    def of_json(cls, entry: Mapping[str, Any]) -> StoredPiece:
        """Returns the piece of an entry."""
        box = Box(tuple(entry["begin"]), tuple(entry["size"]))
        return cls(
            entry["name"],
            tuple(entry["shape"]),
            entry["dtype"],
            box,
            entry["offset"],
            entry["crc32"],
        )


def dtype_of(name: str) -> np.dtype[Any]:
    """Returns NumPy's type of a name, those of ml_dtypes included."""
    return np.dtype(getattr(ml_dtypes, name, name)).newbyteorder("<")


def shard_name(process: int, processes: int) -> str:
    """Returns the name of a shard's files, without what tells them apart."""
    return f"shard_{process:05d}-of-{processes:05d}"


def write_shard(
    folder: Path,
    step: int,
    pieces: Iterable[Piece],
    process: int = 0,
    processes: int = 1,
    check: Callable[[str, np.ndarray], None] | None = None,
) -> str:
    """Writes the pieces of one process, synchronises them and reads them back.

    Each piece is asked for its values once, and then let go; `check` is called with
    its name and values before they are written. The folder exists.

    Returns:
      The name of the index.

    Raises:
      OSError: the disk is full or the folder cannot be written to.
      CheckpointError: a type cannot be stored, a piece is there twice, or what was
        written reads back differently.
    """
    stem = shard_name(process, processes)
    data, index = folder / f"{stem}.safetensors", folder / f"{stem}.json"
    # Large elements first: all lie at multiples of their size.
    ordered = sorted(pieces, key=lambda p: (-np.dtype(p.values.dtype).itemsize, p.name))
    header, stored = _header(ordered, step)
    with naming(data), new_file(data) as path, path.open("wb") as stream:
        stream.write(header)
        for number, piece in enumerate(ordered):
            values = _elements(piece, stored[number])
            if check is not None:
                check(piece.name, values)
            checksums = []
            for block in _blocks(values):
                checksums.append(f"{zlib.crc32(block):08x}")
                stream.write(block)
            stored[number] = dataclasses.replace(
                stored[number], crc32="".join(checksums)
            )
    size = len(header) + sum(piece.bytes for piece in stored)
    content = {
        "step": step,
        "process": process,
        "processes": processes,
        "data": data.name,
        "bytes": size,
        "block_bytes": BLOCK_BYTES,
        "header_bytes": len(header),
        "header_crc32": f"{zlib.crc32(header):08x}",
        "pieces": [piece.to_json() for piece in stored],
    }
    write_file(index, signed_json(content))
    synchronize(folder)
    Shard.read(folder, index.name).verify()
    return index.name


@dataclasses.dataclass(frozen=True)
class Shard:
    """A shard that is there.

    Attributes:
      folder: the checkpoint's.
      step: the checkpoint's.
      process: number of the process that wrote it.
      processes: how many wrote the checkpoint.
      data: name of the data file.
      bytes: its size.
      block_bytes: size of the blocks that have a CRC each.
      header_bytes: size of what stands before the pieces.
      header_crc32: its CRC, eight hexadecimal digits.
      pieces: what it holds.
    """

    folder: Path
    step: int
    process: int
    processes: int
    data: str
    bytes: int
    block_bytes: int
    header_bytes: int
    header_crc32: str
    pieces: tuple[StoredPiece, ...]

    @classmethod
    def read(cls, folder: Path, index: str) -> Shard:
        """Reads an index, none of the data.

        Raises:
          CheckpointError: it is missing or damaged, or its pieces do not lie one behind
            the other from the header to the end of the file.
        """
        content = read_signed_json(folder / index)
        try:
            pieces = tuple(map(StoredPiece.of_json, content.pop("pieces")))
            shard = cls(folder=folder, pieces=pieces, **content)
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{folder / index} is no index: {error}") from error
        position = shard.header_bytes
        for piece in pieces:
            blocks = math.ceil(piece.bytes / shard.block_bytes)
            if piece.offset != position or len(piece.crc32) != blocks * _CRC_DIGITS:
                raise CheckpointError(
                    f"{folder / index} does not agree with itself at {piece.name}"
                )
            position += piece.bytes
        if position != shard.bytes:
            raise CheckpointError(f"{folder / index} does not agree with itself")
        return shard

    def verify(self) -> None:
        """Reads every byte of the data and checks it.

        Raises:
          CheckpointError: the file is missing, shortened or changed; the message names
            the variable.
        """
        path = check_file(self.folder, self.data, self.bytes)
        with naming(path), path.open("rb") as stream:
            header = stream.read(self.header_bytes)
            if f"{zlib.crc32(header):08x}" != self.header_crc32:
                raise CheckpointError(
                    f"{path} is damaged: the CRC-32 of its header does not match"
                )
            buffer = memoryview(bytearray(self.block_bytes))
            for piece in self.pieces:
                for start in range(0, piece.bytes, self.block_bytes):
                    block = buffer[: min(self.block_bytes, piece.bytes - start)]
                    read = stream.readinto(block)
                    self._check(piece, start, block[:read])

    def read_box(self, piece: StoredPiece, box: Box) -> np.ndarray:
        """Reads the part of a piece that a box of the whole variable cuts out of it.

        Only the blocks are read, and checked, from the one with the part's first
        element to the one with its last.

        Raises:
          CheckpointError: a block is damaged.
          OSError: the disk fails.
        """
        dtype = dtype_of(piece.dtype)
        if not box.elements:
            return np.empty(box.size, dtype)
        strides = _strides(piece.box.size, dtype.itemsize)
        index = box.within(piece.box)
        first = sum(part.start * n for part, n in zip(index, strides, strict=True))
        last = sum((part.stop - 1) * n for part, n in zip(index, strides, strict=True))
        begin = first // self.block_bytes * self.block_bytes
        blocks = math.ceil((last + dtype.itemsize) / self.block_bytes)
        end = min(blocks * self.block_bytes, piece.bytes)
        path = check_file(self.folder, self.data, self.bytes)
        content = np.empty(end - begin, np.uint8)
        with naming(path), path.open("rb", buffering=0) as stream:
            stream.seek(piece.offset + begin)
            for start in range(begin, end, self.block_bytes):
                view = content.data[start - begin :][: self.block_bytes]
                read = stream.readinto(view)
                self._check(piece, start, view[:read])
        flat = content[first - begin : last + dtype.itemsize - begin].view(dtype)
        return np.lib.stride_tricks.as_strided(flat, box.size, strides)

    def _check(self, piece: StoredPiece, start: int, block: memoryview) -> None:
        at = start // self.block_bytes * _CRC_DIGITS
        if f"{zlib.crc32(block):08x}" != piece.crc32[at : at + _CRC_DIGITS]:
            raise CheckpointError(
                f"{self.folder / self.data} is damaged in {piece.name}{piece.box}, at "
                f"byte {piece.offset + start:,}: its CRC-32 does not match"
            )


def _header(pieces: list[Piece], step: int) -> tuple[bytes, list[StoredPiece]]:
    """Returns what stands before the pieces, and the pieces, yet without checksums."""
    entries: dict[str, Any] = {"__metadata__": {"format": "mtmoe", "step": str(step)}}
    stored, position = [], 0
    for piece in pieces:
        dtype = np.dtype(piece.values.dtype).name
        if dtype not in _SAFETENSORS:
            raise CheckpointError(
                f"variable {piece.name} is of type {dtype}; a checkpoint holds "
                f"{', '.join(_SAFETENSORS)}"
            )
        box = Box(tuple(piece.begin), tuple(piece.values.shape))
        key = piece.name + ("" if box == whole(piece.shape) else str(box))
        if key in entries:
            raise CheckpointError(f"{key} is to be written twice")
        new = StoredPiece(piece.name, tuple(piece.shape), dtype, box, position, "")
        stored.append(new)
        entries[key] = {
            "dtype": _SAFETENSORS[dtype],
            "shape": list(box.size),
            "data_offsets": [position, position + new.bytes],
        }
        position += new.bytes
    text = json.dumps(entries, ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    header = len(text).to_bytes(8, "little") + text
    return header, [
        dataclasses.replace(piece, offset=piece.offset + len(header))
        for piece in stored
    ]


def _elements(piece: Piece, stored: StoredPiece) -> np.ndarray:
    values = np.asarray(piece.values)
    if values.shape != stored.box.size or values.dtype.name != stored.dtype:
        raise CheckpointError(
            f"variable {piece.name} was to be {stored.dtype}{list(stored.box.size)}, "
            f"it is {values.dtype.name}{list(values.shape)}"
        )
    little = values.astype(dtype_of(stored.dtype), copy=False)
    return np.ascontiguousarray(little).reshape(values.shape)


def _blocks(values: np.ndarray) -> Iterable[memoryview]:
    content = values.reshape(-1).view(np.uint8).data
    for start in range(0, len(content), BLOCK_BYTES):
        yield content[start : start + BLOCK_BYTES]


def _strides(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    return tuple(itemsize * math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
