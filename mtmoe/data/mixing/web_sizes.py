"""How much web text a folder has of a language: counted, or estimated by a sample.

A small folder is counted: read to the end. Of a large one some files are read for a
while; what they gave for the share of them that was read is taken to hold for all.
Either answer is kept on disk, under the names, sizes and times of the files.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass

import seqio

from mtmoe.data.ground.cache import cache_directory, write_atomically
from mtmoe.data.sources.files import file_sizes
from mtmoe.data.sources.so_far import ReadSoFar
from mtmoe.data.sources.web.source import WebTextSource, split_files
from mtmoe.data.token_cache.encoding import document_tokens
from mtmoe.data.vocabulary.configured import vocabulary_fingerprint
from mtmoe.errors import CorpusError

COUNTED_FOLDER = 50_000_000
"""Bytes of files up to which a whole folder is counted."""

COUNTED_LANGUAGE = 1_000_000
"""Bytes of files up to which a language of a larger folder is counted."""

_SAMPLED_FILES = 4
_SAMPLED_CHARACTERS = 250_000  # of a file, and at least
_SAMPLED_BYTES = 600_000  # of it as it is: it is decompressed in blocks
_ENCODED_CHARACTERS = 50_000  # of these
_ENCODED_TOGETHER = 1000  # pages
_MOST_STATED_FILES = 5000  # a folder of more is large


@dataclass(frozen=True)
class WebTextSize:
    """How much training text there is of a language.

    Attributes:
      pages: documents.
      characters: characters of them.
      bytes: bytes of their UTF-8.
      tokens: tokens of the vocabulary, without ends.
      is_counted: whether these are counts, not estimates.
    """

    pages: float
    characters: float
    bytes: float
    tokens: float
    is_counted: bool


Counts = tuple[float, float, float, float]
"""Pages, characters, bytes and tokens."""

_KNOWN: dict[str, WebTextSize] = {}


def web_text_size(source: WebTextSource, vocabulary: seqio.Vocabulary) -> WebTextSize:
    """Counts or estimates the training text of a language in the user's folder.

    Where a filter cleans the text (`web_text_cleaning`), a count is of what it leaves,
    an estimate of what it is given.

    Raises:
      CorpusError: no folder, no text in the language, or too much that cannot be read.
    """
    facts = f"size 1\n{source.content()}\n{vocabulary_fingerprint(vocabulary)}"
    name = hashlib.sha256(facts.encode()).hexdigest()[:32]
    if name not in _KNOWN:
        _KNOWN[name] = _kept_or_measured(name, source, vocabulary)
    return _KNOWN[name]


def _kept_or_measured(
    name: str, source: WebTextSource, vocabulary: seqio.Vocabulary
) -> WebTextSize:
    path = cache_directory() / "web_text" / f"size-{name}.json"
    try:
        pages, characters, num_bytes, tokens, is_counted = json.loads(
            path.read_text("utf-8")
        )
        return WebTextSize(pages, characters, num_bytes, tokens, is_counted)
    except (OSError, ValueError, TypeError):
        pass  # not there, or not whole: made again
    measure = _counted if _is_small(source) else _estimated
    size = measure(source, vocabulary)
    write_atomically(path, json.dumps(astuple(size)).encode("utf-8"))
    return size


def _is_small(source: WebTextSource) -> bool:
    if source.num_bytes("train") <= COUNTED_LANGUAGE:
        return True
    files = source.folder().files.values()
    paths = [path for by_split in files for path in by_split.get("train", ())]
    return len(paths) <= _MOST_STATED_FILES and sum(file_sizes(paths)) <= COUNTED_FOLDER


def _counted(source: WebTextSource, vocabulary: seqio.Vocabulary) -> WebTextSize:
    texts = (page.text for page in source.pages("train"))
    counts = (_count(some, some, vocabulary) for some in _batches(texts))
    return WebTextSize(*_total(counts), is_counted=True)


def _batches(texts: Iterator[str]) -> Iterator[list[str]]:
    while some := list(itertools.islice(texts, _ENCODED_TOGETHER)):
        yield some


def _estimated(source: WebTextSource, vocabulary: seqio.Vocabulary) -> WebTextSize:
    paths, _ = split_files(source.folder(), source.language, "train")
    sizes = file_sizes(paths)
    counts, read = [], 0.0
    for number in _evenly(len(paths)):
        texts, share = _sample(source, paths[number], sizes[number])
        encoded = list(_first(texts, _ENCODED_CHARACTERS))
        counts.append(_count(texts, encoded, vocabulary))
        read += share * sizes[number]
    total = _total(counts)
    if not read or not total[0]:
        raise CorpusError(
            f"{source.folder().directory}: none of {len(_evenly(len(paths)))} files of "
            f"{source.language!r} that were looked into has text"
        )
    factor = sum(sizes) / read
    pages, characters, num_bytes, tokens = (part * factor for part in total)
    return WebTextSize(pages, characters, num_bytes, tokens, is_counted=False)


def _evenly(count: int) -> list[int]:
    """Returns which of so many files are read, from the first to the last."""
    last = max(_SAMPLED_FILES - 1, 1)
    return sorted({round(i * (count - 1) / last) for i in range(_SAMPLED_FILES)})


def _sample(source: WebTextSource, path: str, size: int) -> tuple[list[str], float]:
    """Returns the first pages of a file, and what share of the file they are."""
    so_far, texts, characters = ReadSoFar(), [], 0
    for page in source.pages_of_file(path, so_far):
        texts.append(page.text)
        characters += len(page.text)
        if characters >= _SAMPLED_CHARACTERS:
            share = min(so_far.fraction(), 1.0)
            if share * size >= _SAMPLED_BYTES:
                return texts, share
    return texts, 1.0


def _count(
    texts: Sequence[str], encoded: Sequence[str], vocabulary: seqio.Vocabulary
) -> Counts:
    """Counts texts; their tokens by some of them."""
    characters = sum(map(len, texts))
    tokens = document_tokens(encoded, vocabulary).size
    return (
        len(texts),
        characters,
        sum(len(text.encode("utf-8")) for text in texts),
        tokens * characters / max(sum(map(len, encoded)), 1),
    )


def _total(counts: Iterable[Counts]) -> Counts:
    nothing: Counts = (0, 0, 0, 0)
    pages, characters, num_bytes, tokens = map(sum, zip(nothing, *counts, strict=True))
    return pages, characters, num_bytes, tokens


def _first(texts: Iterable[str], characters: int) -> Iterator[str]:
    for text in texts:
        yield text
        characters -= len(text)
        if characters <= 0:
            return
