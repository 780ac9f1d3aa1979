"""Opens text for reading, whoever reads it: decompressed, as lines of UTF-8."""

from __future__ import annotations

import contextlib
import gzip
import io
import itertools
import zlib
from collections.abc import Iterator
from typing import IO, Any, cast

import tensorflow as tf

from mtmoe.data.sources.bad_record import BadRecord, OnBad, refuse
from mtmoe.data.sources.encodings import why_not_text
from mtmoe.data.sources.so_far import ReadSoFar
from mtmoe.errors import CorpusError

_CHUNK = 1 << 20
_COMPRESSED = 1 << 14  # bytes decompressed together
_HEAD = 1 << 16  # bytes by which a file is judged


def text_lines(
    path: str, on_bad: OnBad, so_far: ReadSoFar | None = None
) -> Iterator[tuple[int, str]]:
    """Yields (line number from 1, line without its end) of a file of text.

    A byte-order mark of UTF-8 is left out. A file whose name ends in `.gz` or `.zst` is
    decompressed.

    Args:
      path: local, or anything TensorFlow's file system layer opens.
      on_bad: called with each line that is not UTF-8 or has a NUL in it, and where
        damage ends the file.
      so_far: is told how far the reading has come, where somebody asks.

    Raises:
      CorpusError: the file is in another encoding or no text at all.
    """
    number = 0
    try:
        with _opened(path, so_far) as stream:
            head, damage = _head(stream)
            reason = why_not_text(path, head)
            if reason:
                raise CorpusError(f"{path}: {reason}")
            for raw in _lines(head, stream, damage):
                number += 1
                text = _decoded(raw, path, number, on_bad)
                if text is not None:
                    yield number, text
    except damage_errors() as error:
        on_bad(BadRecord(path, number + 1, f"damaged: {error}", ends_file=True))


def whole_text(path: str) -> str:
    """Returns all of a file of text as it stands, but for a byte-order mark.

    Raises:
      CorpusError: it is damaged, no text, or in another encoding; or a line of it is
        not UTF-8 or has a NUL in it.
    """
    try:
        with _opened(path, None) as stream:
            content = stream.read()
    except damage_errors() as error:
        raise CorpusError(f"{path} cannot be read: {error}") from error
    reason = why_not_text(path, content[:_HEAD])
    if reason:
        raise CorpusError(f"{path}: {reason}")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        content = error.object  # without the mark
    else:
        if "\0" not in text:
            return text
    for number, raw in enumerate(content.split(b"\n"), start=1):
        _decoded(raw, path, number, refuse)
    raise AssertionError(f"{path} has a bad line")


def not_utf8(error: UnicodeDecodeError, place: str) -> str:
    """Returns what is wrong with bytes that are not UTF-8, and where in `place`."""
    byte = error.object[error.start]
    return f"not UTF-8: byte {byte:#04x} at offset {error.start} of the {place}"


def damage_errors() -> tuple[type[BaseException], ...]:
    """Returns the errors that a damaged or unreadable file raises."""
    import zstandard

    return (
        OSError,
        EOFError,
        zlib.error,
        zstandard.ZstdError,
        tf.errors.OpError,
    )


def _decoded(raw: bytes, path: str, number: int, on_bad: OnBad) -> str | None:
    if b"\0" in raw:
        reason = f"a NUL character at offset {raw.index(0)} of the line"
        on_bad(BadRecord(path, number, reason))
        return None
    try:
        text = raw.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        on_bad(BadRecord(path, number, not_utf8(error, "line")))
        return None
    return text.rstrip("\r\n")


def _head(stream: IO[bytes]) -> tuple[bytes, BaseException | None]:
    """Reads the beginning, and what damage there is in it: lines before it count."""
    pieces: list[bytes] = []
    size = 0
    try:
        while size < _HEAD and (piece := stream.readline(_HEAD)):
            pieces.append(piece)
            size += len(piece)
    except damage_errors() as error:
        return b"".join(pieces), error
    return b"".join(pieces), None


def _lines(
    head: bytes, stream: IO[bytes], damage: BaseException | None
) -> Iterator[bytes]:
    """Yields all lines, with their ends; at the damage there may be, raises it."""
    if damage is not None:
        yield from io.BytesIO(head)
        raise damage
    if not head.endswith(b"\n"):
        head += stream.readline()
    yield from itertools.chain(io.BytesIO(head), stream)


@contextlib.contextmanager
def _opened(path: str, so_far: ReadSoFar | None) -> Iterator[IO[bytes]]:
    with io.BufferedReader(SeekableStream(path), _CHUNK) as raw:
        if so_far is not None:
            size = max(tf.io.gfile.stat(path).length, 1)
            so_far.fraction = lambda: raw.tell() / size
        if path.lower().endswith(".gz"):
            yield cast(IO[bytes], gzip.GzipFile(fileobj=raw))
        elif path.lower().endswith(".zst"):
            zstd = _ZstdStream(raw)
            if so_far is not None:
                so_far.fraction = lambda: raw.tell() / size * zstd.share_handed_out
            yield io.BufferedReader(zstd)
        else:
            yield raw


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
        self._decompressed = 0

    @property
    def share_handed_out(self) -> float:
        """Share of what has been decompressed, in blocks, that has been read."""
        return 1 - len(self._ready) / max(self._decompressed, 1)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            compressed = self._raw.read(_COMPRESSED)
            if not compressed:
                if self._frame is not None:
                    raise EOFError("the file ends inside a Zstandard frame")
                return 0
            self._ready = self._decompress(compressed)
            self._decompressed += len(self._ready)
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


class SeekableStream(io.RawIOBase):
    """A file of TensorFlow's file system layer as Python's own readers want it."""

    def __init__(self, path: str):
        """Opens nothing before the first read."""
        self._file = tf.io.gfile.GFile(path, "rb")

    def close(self) -> None:
        """Closes the file."""
        self._file.close()
        super().close()

    def readable(self) -> bool:
        """Returns True."""
        return True

    def seekable(self) -> bool:
        """Returns True."""
        return True

    def tell(self) -> int:
        """Returns the offset of the next byte."""
        return int(self._file.tell())

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Moves to an offset, and returns it."""
        self._file.seek(offset, whence)
        return self.tell()

    def readinto(self, buffer: Any) -> int:
        """Fills a buffer as far as there are bytes, and returns how many."""
        content = self._file.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)
