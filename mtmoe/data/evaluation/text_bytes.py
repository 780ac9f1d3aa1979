"""How many bytes of a text each of its tokens stands for, whatever the vocabulary.

Bits per byte divides by the UTF-8 bytes of the text as it is written. A vocabulary may
write less or other than that: it has no piece for a character (one unknown token
stands for a run of them), or it normalises (full-width letters, spaces, joiners). The
tokens of a text share out all of its bytes: what belongs to none counts with the token
before, at the beginning with the first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import seqio

from mtmoe.data.ground.token_rows import Int32Array
from mtmoe.data.token_cache.encoding import encode_texts
from mtmoe.data.vocabulary.configured import (
    token_bytes,
    unknown_kind,
    vocabulary_behind,
)
from mtmoe.data.vocabulary.sentence_pieces import model_of

BoolArray = npt.NDArray[np.bool_]


class TokenKinds(NamedTuple):
    """Which tokens stand for text.

    Attributes:
      is_text: bool [vocab_size], tokens that text is encoded as: not padding, ends,
        other control tokens and sentinels; unknown only where `unk_id` is not None.
      is_space: bool [vocab_size], those of them that are spaces alone.
      unk_id: the token of characters without a piece; None if bytes spell those, so
        that no text has it.
    """

    is_text: BoolArray
    is_space: BoolArray
    unk_id: int | None


def token_kinds(vocabulary: seqio.Vocabulary) -> TokenKinds:
    """Tells the tokens of text from the others.

    Raises:
      ConfigError: the vocabulary is of another kind than mtmoe makes.
    """
    vocabulary = vocabulary_behind(vocabulary)
    is_text_V = token_bytes(vocabulary) > 0
    if isinstance(vocabulary, seqio.ByteVocabulary):
        return TokenKinds(is_text_V, np.arange(len(is_text_V)) == 3 + ord(" "), None)
    pieces = model_of(vocabulary).pieces
    is_space_V = np.array([not piece.piece.strip("▁ ") for piece in pieces])
    if _has_bytes(vocabulary):
        return TokenKinds(is_text_V, is_space_V, None)
    unk_id = int(vocabulary.unk_id)
    is_text_V[unk_id] = True
    return TokenKinds(is_text_V, is_space_V, unk_id)


def is_lossless(vocabulary: seqio.Vocabulary) -> bool:
    """Whether tokens spell a text byte for byte, so that `token_bytes` counts it.

    The byte vocabulary does, and a SentencePiece model that has a token for each byte
    and changes nothing in a text. (U+2581, which SentencePiece takes for a space, is
    the one character that such a model changes.)

    Raises:
      ConfigError: the vocabulary is of another kind than mtmoe makes.
    """
    vocabulary = vocabulary_behind(vocabulary)
    if isinstance(vocabulary, seqio.ByteVocabulary):
        return True
    if not isinstance(vocabulary, seqio.SentencePieceVocabulary):
        raise unknown_kind(vocabulary)
    rules = model_of(vocabulary).normalizer_spec
    changes = (
        rules.precompiled_charsmap
        or rules.add_dummy_prefix
        or rules.remove_extra_whitespaces
        or not rules.escape_whitespaces
    )
    return _has_bytes(vocabulary) and not changes


def encode_with_bytes(
    texts: Iterable[str], vocabulary: seqio.Vocabulary
) -> Iterator[tuple[Int32Array, Int32Array]]:
    """Yields the tokens of each text, and the bytes of it that each stands for.

    The bytes of a text with any tokens sum to the size of its UTF-8. A token may have
    none: of two that one character is written with, or a space that is not there.
    """
    vocabulary = vocabulary_behind(vocabulary)
    if isinstance(vocabulary, seqio.ByteVocabulary):
        for tokens in encode_texts(texts, vocabulary):
            yield tokens, np.ones_like(tokens)
        return
    lossless, bytes_V = is_lossless(vocabulary), token_bytes(vocabulary)
    for text in texts:
        if lossless:
            tokens = np.array(vocabulary.encode(text), np.int32)
            counts = bytes_V[tokens]
            if counts.sum() == len(text.encode()):
                yield tokens, counts
                continue
        yield _with_surfaces(text, vocabulary.tokenizer)


def tokens_and_surfaces(
    text: str, vocabulary: seqio.SentencePieceVocabulary
) -> list[tuple[int, str]]:
    """Returns each token of a text with the part of the text it was made of."""
    pieces = _encoded(text, vocabulary_behind(vocabulary).tokenizer).pieces
    return [(piece.id, piece.surface) for piece in pieces]


def _with_surfaces(text: str, model: Any) -> tuple[Int32Array, Int32Array]:
    """Encodes with the places of a text that its pieces were made of."""
    encoded = _encoded(text, model)
    tokens = np.array([piece.id for piece in encoded.pieces], np.int32)
    if not tokens.size:
        return tokens, tokens
    begins = [piece.begin for piece in encoded.pieces]
    return tokens, np.diff([0, *begins[1:], len(text.encode())]).astype(np.int32)


def _encoded(text: str, model: Any) -> Any:
    from sentencepiece import sentencepiece_pb2

    serialized = model.EncodeAsSerializedProto(text)
    return sentencepiece_pb2.SentencePieceText.FromString(serialized)


def _has_bytes(vocabulary: seqio.SentencePieceVocabulary) -> bool:
    return bool(model_of(vocabulary).trainer_spec.byte_fallback)
