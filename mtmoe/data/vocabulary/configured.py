"""The vocabulary: which one the configuration chooses, and what its tokens stand for.

Every registered task carries `configured_vocabulary()`. One gin line decides what
stands behind it:

    configured_vocabulary.factory = @embedded_vocabulary       # the default
    configured_vocabulary.factory = @byte_vocabulary           # UTF-8 bytes (ByT5)
    configured_vocabulary.factory = @sentencepiece_vocabulary  # a file, e.g. mT5's
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import gin
import numpy as np
import seqio
import tensorflow as tf

from mtmoe.data.ground.cache import cache_directory, write_atomically
from mtmoe.data.sources.embedded.corpus import load_corpus
from mtmoe.data.vocabulary.fitting import (
    SentencePieceSettings,
    train_sentencepiece,
)
from mtmoe.data.vocabulary.sentence_pieces import (
    SENTINEL,
    SentencePieceVocabulary,
    load_vocabulary,
    num_trailing_sentinels,
)
from mtmoe.errors import ConfigError
from mtmoe.ranges import Count, Fraction, Range, Share, checked

ExtraIds = Annotated[int, Range(0, 1_000_000, whole=True)]
"""Sentinels; a million is a piece a sentinel of any vocabulary there is."""

_SPACE = "▁"  # how SentencePiece writes a space


@gin.configurable
@checked
def embedded_vocabulary(
    size: Count = 16_000,
    extra_ids: ExtraIds = 100,
    alpha: Fraction = 0.3,
    characters: Count = 2_000_000,
    coverage: Share = 0.9995,
) -> seqio.Vocabulary:
    """Returns a SentencePiece vocabulary fitted on the embedded corpus.

    It sees training documents only. The first call fits it (a minute) and keeps it in
    `cache_directory()`, under a fingerprint of the corpus and of these settings.

    Args:
      size: number of pieces without the sentinels.
      extra_ids: number of sentinels `<extra_id_N>` after them, in T5's order.
      alpha: sampling exponent over languages.
      characters: how much text is sampled to fit on.
      coverage: share of characters that become pieces; bytes spell the others.
    """
    settings = SentencePieceSettings(size, alpha, characters, coverage)
    return load_vocabulary(str(_fitted_model(settings)), extra_ids)


@gin.configurable
@checked
def byte_vocabulary(extra_ids: ExtraIds = 100) -> seqio.Vocabulary:
    """Returns ByT5's vocabulary (Xue et al. 2022): three special ids and 256 bytes.

    Args:
      extra_ids: number of sentinels after the bytes.
    """
    return seqio.ByteVocabulary(extra_ids=extra_ids)


@gin.configurable
@checked
def sentencepiece_vocabulary(
    path: str = "", extra_ids: ExtraIds = 0
) -> seqio.Vocabulary:
    """Returns the vocabulary of a SentencePiece model file.

    mT5's file (`mc4.250000.100extra`) holds its 100 sentinels already, hence the
    default; a model without any needs `extra_ids=100` for span corruption.

    Args:
      path: the `.model` file.
      extra_ids: number of sentinels to add.

    Raises:
      ConfigError: there is no such model; its padding id is not 0, it has no end token
        or no unknown token, its sentinels are not its last ids or it holds some and
        `extra_ids` adds others; or it finds special tokens in text.
    """
    if not path:
        raise ConfigError(
            "sentencepiece_vocabulary needs its model file: "
            "--gin_param=\"sentencepiece_vocabulary.path='FILE.model'\""
        )
    return load_vocabulary(path, extra_ids)


class ConfiguredVocabulary(seqio.Vocabulary):
    """Stands for the vocabulary that gin chooses, looked up at each use.

    Tasks are registered before any configuration is read, and SeqIO wants one equal
    vocabulary from all tasks of a mixture: they share this one object. Copies and
    pickles of it are it again.
    """

    def __init__(self) -> None:
        """Reads nothing."""
        super().__init__()

    @property
    def chosen(self) -> seqio.Vocabulary:
        """The vocabulary behind this one, as gin is configured now."""
        return _chosen_vocabulary()

    def __reduce__(self) -> tuple[Callable[[], seqio.Vocabulary], tuple[()]]:
        return configured_vocabulary, ()

    def __repr__(self) -> str:
        return "configured_vocabulary()"

    def __str__(self) -> str:
        return str(self.chosen)

    @property
    def bos_id(self) -> int | None:
        """Id that begins a sequence, if there is one."""
        return self.chosen.bos_id

    @property
    def eos_id(self) -> int | None:
        """Id that ends a sequence."""
        return self.chosen.eos_id

    @property
    def pad_id(self) -> int:
        """Id of padding, 0."""
        return self.chosen.pad_id

    @property
    def unk_id(self) -> int | None:
        """Id of what has no other id."""
        return self.chosen.unk_id

    @property
    def extra_ids(self) -> int:
        """Number of ids added for sentinels."""
        return self.chosen.extra_ids

    @property
    def vocab_size(self) -> int:
        """Number of ids, sentinels included."""
        return self.chosen.vocab_size

    @property
    def _base_vocab_size(self) -> int:
        return self.chosen._base_vocab_size

    def encode(self, s: Sequence[int] | str) -> Sequence[int]:
        """Returns the ids of a text, without an end."""
        return self.chosen.encode(s)

    def decode(self, ids: Iterable[int]) -> str:
        """Returns the text of ids, up to the first end."""
        return self.chosen.decode(ids)

    def encode_tf(self, s: tf.Tensor) -> tf.Tensor:
        """Returns the int32 ids of a string scalar, without an end."""
        return self.chosen.encode_tf(s)

    def decode_tf(self, ids: tf.Tensor) -> tf.Tensor:
        """Returns the strings of int32 ids, up to the first end."""
        return self.chosen.decode_tf(ids)

    def _encode(self, s: str) -> Sequence[int]:
        return self.chosen._encode(s)

    def _decode(self, ids: Iterable[int]) -> str:
        return self.chosen._decode(ids)

    def _encode_tf(self, s: tf.Tensor) -> tf.Tensor:
        return self.chosen._encode_tf(s)

    def _decode_tf(self, ids: tf.Tensor) -> tf.Tensor:
        return self.chosen._decode_tf(ids)


_PROXY = ConfiguredVocabulary()


def configured_vocabulary() -> seqio.Vocabulary:
    """Returns the one vocabulary object that all registered tasks carry.

    In gin it is a configurable with one parameter, `factory`: a configurable without
    required arguments that returns a `seqio.Vocabulary`.
    """
    return _PROXY


@gin.configurable("configured_vocabulary")
def _chosen_vocabulary(
    factory: Callable[[], seqio.Vocabulary] = embedded_vocabulary,
) -> seqio.Vocabulary:
    return factory()


def token_bytes(vocabulary: seqio.Vocabulary) -> np.ndarray:
    """Returns how many bytes of UTF-8 each token is spelled with.

    With a vocabulary that changes nothing in text (`text_bytes.is_lossless`) they sum
    over a text's tokens to its size. With others (mT5's) they are those of the pieces;
    `text_bytes.encode_with_bytes` counts those of the text.

    Args:
      vocabulary: one of those this module makes, or the proxy.

    Returns:
      int32[vocab_size]; 0 for padding, end, unknown and sentinels, 1 for a byte.

    Raises:
      ConfigError: the vocabulary is of another kind.
    """
    return _token_bytes(vocabulary_behind(vocabulary)).copy()


def vocabulary_fingerprint(vocabulary: seqio.Vocabulary) -> str:
    """Returns a SHA-256 that is equal for vocabularies that encode alike.

    Raises:
      ConfigError: the vocabulary is of another kind than this module makes.
    """
    vocabulary = vocabulary_behind(vocabulary)
    if isinstance(vocabulary, SentencePieceVocabulary):
        return _fingerprint("sentencepiece", vocabulary.declared_model)
    if isinstance(vocabulary, seqio.SentencePieceVocabulary):
        return _fingerprint("sentencepiece", vocabulary.sp_model)
    if isinstance(vocabulary, seqio.ByteVocabulary):
        return _fingerprint(f"byte {vocabulary.extra_ids}", b"")
    raise unknown_kind(vocabulary)


def num_sentinels(vocabulary: seqio.Vocabulary) -> int:
    """Returns how many sentinels there are at the end of a vocabulary.

    Raises:
      ConfigError: the vocabulary is of another kind than this module makes.
    """
    vocabulary = vocabulary_behind(vocabulary)
    if isinstance(vocabulary, seqio.SentencePieceVocabulary):
        return num_trailing_sentinels(vocabulary.sp_model)
    if isinstance(vocabulary, seqio.ByteVocabulary):
        return int(vocabulary.extra_ids)
    raise unknown_kind(vocabulary)


def vocabulary_behind(vocabulary: seqio.Vocabulary) -> seqio.Vocabulary:
    """Returns what stands behind the proxy now, or a vocabulary as it is.

    The proxy looks at gin's bindings at each use; whoever encodes many texts asks once.
    """
    is_proxy = isinstance(vocabulary, ConfiguredVocabulary)
    return vocabulary.chosen if is_proxy else vocabulary


@functools.lru_cache(maxsize=64)
def _fingerprint(kind: str, model: bytes) -> str:
    digest = hashlib.sha256(kind.encode())
    digest.update(model)
    return digest.hexdigest()


def _token_bytes(vocabulary: seqio.Vocabulary) -> np.ndarray:
    if isinstance(vocabulary, seqio.SentencePieceVocabulary):
        model = vocabulary.tokenizer
        sizes = [_piece_bytes(model, id_) for id_ in range(vocabulary.vocab_size)]
        return np.array(sizes, np.int32)
    if isinstance(vocabulary, seqio.ByteVocabulary):
        sizes_V = np.zeros(vocabulary.vocab_size, np.int32)
        sizes_V[3 : 3 + 256] = 1
        return sizes_V
    raise unknown_kind(vocabulary)


def _piece_bytes(model: Any, id_: int) -> int:
    piece = model.IdToPiece(id_)
    if model.IsControl(id_) or model.IsUnknown(id_) or SENTINEL.fullmatch(piece):
        return 0
    return 1 if model.IsByte(id_) else len(piece.replace(_SPACE, " ").encode())


def unknown_kind(vocabulary: seqio.Vocabulary) -> ConfigError:
    """Returns the error of a vocabulary that is neither SentencePiece nor bytes."""
    return ConfigError(
        f"a {type(vocabulary).__name__} cannot be used here; mtmoe works with "
        "seqio.SentencePieceVocabulary and seqio.ByteVocabulary"
    )


@functools.cache
def _fitted_model(settings: SentencePieceSettings) -> Path:
    """Returns the model file of these settings, fitted now if it is not there."""
    import sentencepiece

    corpus = load_corpus()
    identity = {
        "corpus": corpus.fingerprint,
        "settings": dataclasses.asdict(settings),
        "sentencepiece": sentencepiece.__version__,
    }
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    path = cache_directory() / "vocabularies" / f"{digest[:32]}.model"
    if not path.is_file():
        started = time.monotonic()
        print(f"vocabulary: fitting {settings.size:,} pieces", file=sys.stderr)
        documents = {c: corpus.documents(c, "train") for c in corpus.languages}
        write_atomically(path, train_sentencepiece(documents, settings))
        seconds = time.monotonic() - started
        print(f"vocabulary: fitted in {seconds:.0f} s", file=sys.stderr)
    return path
