"""Pages: the records of a cache, each an array of tokens with a checksum.

A page of text holds tokens of the stream and where documents begin in it; a page of
examples holds whole examples, their features one after the other. All numbers are
little-endian:

    text:      crc32 u32 | tokens u32 | documents u32 | starts u16 [documents] | tokens
    examples:  crc32 u32 | examples u32 | sizes u32 [examples, F] | tokens

The checksum is of all that follows it. Tokens are of 2 bytes, or of 4 if the vocabulary
needs them. All pages of a shard but its last are full, so that the page of a token or
an example is known by arithmetic.

Legend: D documents that begin in a page, E examples of a page, F features.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Buffer = bytes | memoryview
IntArray = npt.NDArray[Any]

PAGE_TOKENS = 2048
PAGE_EXAMPLES = 16

_TOKEN_TYPES: dict[int, np.dtype[Any]] = {2: np.dtype("<u2"), 4: np.dtype("<u4")}
_START_TYPE = np.dtype("<u2")
_SIZE_TYPE = np.dtype("<u4")
_TEXT_HEAD = struct.Struct("<III")
_EXAMPLES_HEAD = struct.Struct("<II")
# Pages cut at once, so that short documents cost few numpy calls.
_PAGES_TOGETHER = 64


class PageError(ValueError):
    """A page whose bytes are not those that were written."""


class TextPage(NamedTuple):
    """A page of text.

    Attributes:
      tokens: [tokens]; a view of the page's bytes if it was decoded.
      starts: [D]: where documents begin, rising; a document that began in an earlier
        page has none here.
    """

    tokens: IntArray
    starts: IntArray


class ExamplePage(NamedTuple):
    """A page of examples.

    Attributes:
      tokens: example after example, in each its features in order; a view of the page's
        bytes if it was decoded.
      sizes: [E, F]: tokens of each feature.
    """

    tokens: IntArray
    sizes: IntArray


def token_width(vocab_size: int) -> int:
    """Returns the bytes of a token in a page: 2, or 4 for large vocabularies."""
    return 2 if vocab_size <= 1 << 16 else 4


def text_pages(documents: Iterable[npt.ArrayLike]) -> Iterator[TextPage]:
    """Cuts a stream of documents into pages.

    Args:
      documents: tokens of each document; one without tokens leaves no trace.

    Yields:
      Pages, all full but the last.
    """
    arrays: list[IntArray] = []
    starts: list[int] = []
    size = 0
    for document in documents:
        array = np.asarray(document, np.int64)
        if not len(array):
            continue
        arrays.append(array)
        starts.append(size)
        size += len(array)
        if size >= PAGE_TOKENS * _PAGES_TOGETHER:
            stream, starts_D = np.concatenate(arrays), np.array(starts)
            full = size - size % PAGE_TOKENS
            yield from _cut(stream[:full], starts_D)
            arrays = [stream[full:]]
            starts = (starts_D[starts_D >= full] - full).tolist()
            size -= full
    if size:
        yield from _cut(np.concatenate(arrays), np.array(starts, np.int64))


def example_pages(
    examples: Iterable[Sequence[npt.ArrayLike]], num_features: int
) -> Iterator[ExamplePage]:
    """Puts examples into pages.

    Args:
      examples: tokens of each feature of each example.
      num_features: features of an example.

    Yields:
      Pages, all full but the last.

    Raises:
      ValueError: an example has another number of features.
    """
    page: list[IntArray] = []
    for example in examples:
        if len(example) != num_features:
            raise ValueError(f"{len(example)} features, not {num_features}")
        page.extend(np.asarray(feature, np.int64) for feature in example)
        if len(page) == PAGE_EXAMPLES * num_features:
            yield _page_of(page, num_features)
            page = []
    if page:
        yield _page_of(page, num_features)


def encode_text_page(page: TextPage, width: int) -> bytes:
    """Returns the bytes of a page whose tokens all fit in `width` bytes."""
    starts = page.starts.astype(_START_TYPE).tobytes()
    tokens = page.tokens.astype(_TOKEN_TYPES[width]).tobytes()
    counts = struct.pack("<II", len(page.tokens), len(page.starts))
    return _with_checksum(counts + starts + tokens)


def encode_example_page(page: ExamplePage, width: int) -> bytes:
    """Returns the bytes of a page whose tokens all fit in `width` bytes."""
    sizes = page.sizes.astype(_SIZE_TYPE).tobytes()
    tokens = page.tokens.astype(_TOKEN_TYPES[width]).tobytes()
    return _with_checksum(struct.pack("<I", len(page.sizes)) + sizes + tokens)


def decode_text_page(content: Buffer, width: int) -> TextPage:
    """Returns a page of text, as views of its bytes.

    Raises:
      PageError: the bytes are not those that were written.
    """
    _, num_tokens, num_starts = _checked_head(content, _TEXT_HEAD)
    first = _TEXT_HEAD.size + _START_TYPE.itemsize * num_starts
    if len(content) != first + width * num_tokens:
        raise PageError(f"{len(content)} bytes do not hold {num_tokens} tokens")
    return TextPage(
        np.frombuffer(content, _TOKEN_TYPES[width], num_tokens, first),
        np.frombuffer(content, _START_TYPE, num_starts, _TEXT_HEAD.size),
    )


def decode_example_page(content: Buffer, num_features: int, width: int) -> ExamplePage:
    """Returns a page of examples, as views of its bytes.

    Raises:
      PageError: the bytes are not those that were written.
    """
    _, num_examples = _checked_head(content, _EXAMPLES_HEAD)
    num_sizes = num_examples * num_features
    first = _EXAMPLES_HEAD.size + _SIZE_TYPE.itemsize * num_sizes
    num_tokens, rest = divmod(len(content) - first, width)
    if num_tokens < 0 or rest:
        raise PageError(f"{len(content)} bytes do not hold {num_examples} examples")
    sizes = np.frombuffer(content, _SIZE_TYPE, num_sizes, _EXAMPLES_HEAD.size)
    return ExamplePage(
        np.frombuffer(content, _TOKEN_TYPES[width], num_tokens, first),
        sizes.reshape(num_examples, num_features),
    )


def _cut(stream: IntArray, starts_D: IntArray) -> Iterator[TextPage]:
    firsts = np.arange(0, len(stream), PAGE_TOKENS)
    bounds = np.searchsorted(starts_D, np.append(firsts, len(stream))).tolist()
    for page, first in enumerate(firsts.tolist()):
        yield TextPage(
            stream[first : first + PAGE_TOKENS],
            starts_D[bounds[page] : bounds[page + 1]] - first,
        )


def _page_of(arrays: list[IntArray], num_features: int) -> ExamplePage:
    sizes = np.array([len(array) for array in arrays]).reshape(-1, num_features)
    return ExamplePage(np.concatenate(arrays), sizes)


def _with_checksum(content: bytes) -> bytes:
    return struct.pack("<I", zlib.crc32(content)) + content


def _checked_head(content: Buffer, head: struct.Struct) -> tuple[int, ...]:
    """Returns the numbers at the head of a page, the checksum first, if it matches."""
    if len(content) < head.size:
        raise PageError(f"{len(content)} bytes are not a page")
    numbers: tuple[int, ...] = head.unpack_from(content)
    if numbers[0] != zlib.crc32(memoryview(content)[4:]):
        raise PageError("its checksum (CRC-32) does not match")
    return numbers
