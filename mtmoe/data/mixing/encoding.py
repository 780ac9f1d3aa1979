"""How the configured vocabulary writes a language: characters and bytes a token.

Measured on the embedded corpus, for text that is not on this machine.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import seqio

from mtmoe.data.sources.embedded.corpus import load_corpus
from mtmoe.data.token_cache.encoding import document_tokens
from mtmoe.data.vocabulary.configured import (
    configured_vocabulary,
    token_bytes,
    vocabulary_fingerprint,
)
from mtmoe.languages import LANGUAGES, language

_SAMPLE_CHARACTERS = 50_000
_TOKEN_BYTES: dict[str, npt.NDArray[np.int32]] = {}  # by vocabulary fingerprint


class Encoding(NamedTuple):
    """What a token stands for, on average.

    Attributes:
      characters_per_token: characters of text.
      bytes_per_token: bytes of its UTF-8.
      basis: the text it was measured on: `language`, or `script` for a language
        without text of its own (all languages of its script).
    """

    characters_per_token: float
    bytes_per_token: float
    basis: str


def language_encoding(code: str) -> Encoding | None:
    """Measures the configured vocabulary on a language's embedded training text.

    Returns:
      None if the embedded corpus has no text in the language or its script.

    Raises:
      UnknownNameError: the code is not a language's.
    """
    return _encoding(vocabulary_fingerprint(configured_vocabulary()), code)


def bytes_per_token(
    vocabulary: seqio.Vocabulary, tokens: npt.NDArray[np.int32]
) -> float:
    """Returns the mean UTF-8 bytes that tokens are spelled with.

    Ends and sentinels among them are not counted.
    """
    fingerprint = vocabulary_fingerprint(vocabulary)
    if fingerprint not in _TOKEN_BYTES:
        _TOKEN_BYTES[fingerprint] = token_bytes(vocabulary)
    sizes = _TOKEN_BYTES[fingerprint][tokens]
    return float(sizes.sum() / max(np.count_nonzero(sizes), 1))


@functools.lru_cache(maxsize=4096)
def _encoding(vocabulary: str, code: str) -> Encoding | None:
    wanted = language(code)
    languages = load_corpus().languages
    if wanted.code in languages:
        return Encoding(*_ratios([_measure(vocabulary, wanted.code)]), "language")
    same_script = [
        _measure(vocabulary, other.code)
        for other in LANGUAGES
        if other.script == wanted.script and other.code in languages
    ]
    return Encoding(*_ratios(same_script), "script") if same_script else None


@functools.lru_cache(maxsize=4096)
def _measure(vocabulary: str, code: str) -> tuple[int, int, int]:
    """Returns characters, bytes and tokens of a sample of a language's documents."""
    del vocabulary  # the key under which the counts are kept
    documents = load_corpus().documents(code, "train")
    characters = np.cumsum([len(document) for document in documents])
    # Prose comes first, short strings later: documents from all over, evenly.
    stride = max(int(characters[-1]) // _SAMPLE_CHARACTERS, 1)
    sample = documents[::stride]
    return (
        sum(map(len, sample)),
        sum(len(document.encode("utf-8")) for document in sample),
        document_tokens(sample, configured_vocabulary()).size,
    )


def _ratios(counts: list[tuple[int, int, int]]) -> tuple[float, float]:
    """Returns characters and bytes a token, each language counting alike."""
    characters = np.mean([chars / tokens for chars, _, tokens in counts])
    return float(characters), float(np.mean([size / n for _, size, n in counts]))
