"""One shard of a cached split: a file of pages and the index of it.

The index holds offsets u64 [P] and sizes u32 [P] of the P pages; for examples, sizes
u32 [E, F] of the E examples' F features behind them.
"""

from __future__ import annotations

import os
import secrets
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mtmoe.data.token_cache.files.pages import (
    encode_example_page,
    encode_text_page,
    example_pages,
    text_pages,
    token_width,
)
from mtmoe.data.token_cache.files.record_file import RecordPlaces, write_records
from mtmoe.data.token_cache.files.shard_facts import ShardFacts
from mtmoe.data.token_cache.files.storage import (
    Location,
    is_remote,
    join,
    make_folder,
    move_file,
    read_file,
    write_file,
)
from mtmoe.errors import CorpusError, ManifestError
from mtmoe.files import synchronize

UInt32Array = npt.NDArray[np.uint32]

_OFFSET_TYPE = np.dtype("<u8")
_SIZE_TYPE = np.dtype("<u4")
_READ_AT_ONCE = 1 << 22


@dataclass(frozen=True)
class ShardContent:
    """Where a shard belongs and what its tokens are.

    Attributes:
      directory: the directory of the split, made if it is not there.
      shard: number of the shard.
      num_shards: shards of the split.
      vocab_size: tokens of the vocabulary; any other token is an error.
      origin: for messages: "task 'x', split 'train'".
    """

    directory: Location
    shard: int
    num_shards: int
    vocab_size: int
    origin: str


@dataclass(frozen=True)
class ShardIndex:
    """What is where in a shard.

    Attributes:
      places: where the pages are in the file.
      example_sizes: uint32 [examples, F]; [0, F] of a text.
    """

    places: RecordPlaces
    example_sizes: UInt32Array


def shard_names(shard: int, num_shards: int) -> tuple[str, str]:
    """Returns the names of a shard's file of pages and of its index."""
    number = f"{shard:05d}-of-{num_shards:05d}"
    return f"tokens-{number}.array_record", f"index-{number}.bin"


def write_text_shard(
    content: ShardContent, documents: Iterable[npt.ArrayLike]
) -> ShardFacts:
    """Writes a shard of a text: both files, each complete when it appears.

    Args:
      content: where it belongs.
      documents: tokens of each document, taken one by one; those without tokens leave
        no trace. There may be none at all.

    Returns:
      Its facts, for the manifest.

    Raises:
      CorpusError: a token is outside the vocabulary.
      MtmoeError: a file cannot be written.
    """
    counted = _Counts(content)
    width = token_width(content.vocab_size)

    def records() -> Iterator[bytes]:
        for page in text_pages(documents):
            counted.add(page.tokens, len(page.starts))
            yield encode_text_page(page, width)

    return _write(content, records(), [], counted)


def write_example_shard(
    content: ShardContent,
    examples: Iterable[Sequence[npt.ArrayLike]],
    num_features: int,
) -> ShardFacts:
    """Writes a shard of examples: both files, each complete when it appears.

    Args:
      content: where it belongs.
      examples: tokens of each feature of each example, taken one by one. There may be
        none at all.
      num_features: features of an example.

    Returns:
      Its facts, for the manifest.

    Raises:
      CorpusError: a token is outside the vocabulary.
      MtmoeError: a file cannot be written.
    """
    counted = _Counts(content)
    width = token_width(content.vocab_size)
    sizes: list[bytes] = []

    def records() -> Iterator[bytes]:
        for page in example_pages(examples, num_features):
            counted.add(page.tokens, len(page.sizes))
            sizes.append(page.sizes.astype(_SIZE_TYPE).tobytes())
            yield encode_example_page(page, width)

    return _write(content, records(), sizes, counted)


def read_index(directory: Location, shard: ShardFacts, num_features: int) -> ShardIndex:
    """Reads the index of a shard.

    Args:
      directory: the directory of the split.
      shard: facts of the shard.
      num_features: features of an example; 0 for a text, whose index has no sizes.

    Raises:
      ManifestError: it is gone, or not the one that was written.
    """
    path = join(directory, shard.index_name)
    try:
        content = read_file(path)
    except OSError as error:
        raise ManifestError(f"{path} cannot be read: {error}") from error
    if zlib.crc32(content) != shard.index_crc32:
        raise ManifestError(
            f"{path} is damaged: its checksum (CRC-32) is not the manifest's"
        )
    offsets = np.frombuffer(content, _OFFSET_TYPE, shard.pages)
    sizes = np.frombuffer(content, _SIZE_TYPE, -1, offsets.nbytes)
    return ShardIndex(
        RecordPlaces(offsets, sizes[: shard.pages]),
        sizes[shard.pages :].reshape(-1, max(num_features, 1)),
    )


def file_crc32(path: Location) -> int:
    """Returns the CRC-32 of a local file."""
    checksum = 0
    with open(path, "rb") as file:
        while content := file.read(_READ_AT_ONCE):
            checksum = zlib.crc32(content, checksum)
    return checksum


class _Counts:
    """Counts what goes into a shard, and checks its tokens."""

    def __init__(self, content: ShardContent):
        self.content = content
        self.examples = 0
        self.tokens = 0
        self.extremes: list[int] = []

    def add(self, tokens: npt.NDArray[Any], examples: int) -> None:
        self.examples += examples
        self.tokens += len(tokens)
        if not len(tokens):
            return
        found = [int(tokens.min()), int(tokens.max())]
        for token in found:
            if not 0 <= token < self.content.vocab_size:
                raise CorpusError(
                    f"{self.content.origin}: token {token} is outside the vocabulary "
                    f"of {self.content.vocab_size} tokens"
                )
        self.extremes = [min(self.extremes + found), max(self.extremes + found)]


def _write(
    content: ShardContent,
    records: Iterator[bytes],
    example_sizes: list[bytes],
    counted: _Counts,
) -> ShardFacts:
    name, index_name = shard_names(content.shard, content.num_shards)
    directory = os.fspath(content.directory)
    folder = tempfile.gettempdir() if is_remote(directory) else directory
    make_folder(folder)
    temporary = Path(folder, f"{name}.{secrets.token_hex(8)}.tmp")
    try:
        places = write_records(temporary, records)
        # A manifest must not outlive a power cut that its files do not.
        synchronize(temporary)
        size, checksum = temporary.stat().st_size, file_crc32(temporary)
        index = b"".join(
            [
                places.offsets.astype(_OFFSET_TYPE).tobytes(),
                places.sizes.astype(_SIZE_TYPE).tobytes(),
                *example_sizes,
            ]
        )
        write_file(join(directory, index_name), index)
        move_file(temporary, join(directory, name))
    finally:
        temporary.unlink(missing_ok=True)
    smallest, largest = counted.extremes or (None, None)
    return ShardFacts(
        name=name,
        bytes=size,
        crc32=checksum,
        index_name=index_name,
        index_bytes=len(index),
        index_crc32=zlib.crc32(index),
        pages=len(places.offsets),
        examples=counted.examples,
        tokens=counted.tokens,
        smallest_token=smallest,
        largest_token=largest,
    )
