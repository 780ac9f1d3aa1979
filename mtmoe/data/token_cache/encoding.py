"""Encodes texts without a tf.data pipeline: SeqIO's own tokens, tested equal.

Tasks whose steps do nothing but rename and tokenise are encoded so, many texts at once.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import seqio

from mtmoe.data.sources.values import text_problem
from mtmoe.data.tasks.form import Step
from mtmoe.data.vocabulary.configured import num_sentinels, vocabulary_behind
from mtmoe.data.vocabulary.sentence_pieces import SentencePieceVocabulary
from mtmoe.errors import CorpusError

Int32Array = npt.NDArray[np.int32]

_CHARACTERS_TOGETHER = 1 << 18


def encode_texts(
    texts: Iterable[str], vocabulary: seqio.Vocabulary
) -> Iterator[Int32Array]:
    """Yields the tokens of each text, without EOS.

    Args:
      texts: taken as they are needed, some hundred thousand characters at a time.
      vocabulary: what to encode with.

    Raises:
      CorpusError: one is no text, or has half a surrogate pair; or, with SeqIO's own
        SentencePiece class, it spells a sentinel.
    """
    vocabulary = vocabulary_behind(vocabulary)
    texts = _refusing_others(texts)
    if isinstance(vocabulary, SentencePieceVocabulary):
        tokenizer = vocabulary.tokenizer
        for together in _groups(texts):
            for tokens in tokenizer.EncodeAsIds(together):
                yield np.array(tokens, np.int32)
        return
    if isinstance(vocabulary, seqio.SentencePieceVocabulary):
        yield from _encode_with_seqio(texts, vocabulary)
        return
    for text in texts:
        yield np.asarray(vocabulary.encode(text), np.int32)


def document_tokens(
    documents: Iterable[str], vocabulary: seqio.Vocabulary
) -> Int32Array:
    """Encodes documents and joins their tokens; padding (token 0) is left out."""
    encoded = map(without_padding, encode_texts(documents, vocabulary))
    return np.concatenate([np.zeros(0, np.int32), *encoded])


def without_padding(tokens: Int32Array) -> Int32Array:
    """Leaves out token 0, as T5's `reduce_concat_tokens` does where it joins texts."""
    return tokens if tokens.all() else tokens[tokens != seqio.vocabularies.PAD_ID]


def plain_text_key(offline: tuple[Step, ...]) -> str | None:
    """Returns the key of the text if steps are exactly rekey and tokenize, or None."""
    if len(offline) != 2 or offline[1] is not seqio.preprocessors.tokenize:
        return None
    rekey: Any = offline[0]
    if not isinstance(rekey, functools.partial) or rekey.args:
        return None
    if rekey.func is not seqio.preprocessors.rekey or set(rekey.keywords) != {
        "key_map"
    }:
        return None
    key: str | None = rekey.keywords["key_map"].get("targets")
    return key


def _refusing_others(texts: Iterable[str]) -> Iterator[str]:
    for number, text in enumerate(texts, start=1):
        problem = text_problem(text)
        if problem:
            raise CorpusError(f"text {number:,} to encode {problem}; a text is wanted")
        yield text


def _encode_with_seqio(
    texts: Iterable[str], vocabulary: seqio.SentencePieceVocabulary
) -> Iterator[Int32Array]:
    """Encodes with a vocabulary that would read ` <extra_id_0>` as a sentinel."""
    first_sentinel = vocabulary.vocab_size - num_sentinels(vocabulary)
    for text in texts:
        tokens = np.array(vocabulary.tokenizer.EncodeAsIds(text), np.int32)
        if tokens.max(initial=0) >= first_sentinel:
            raise CorpusError(
                f"a text spells a sentinel, such as <extra_id_0>: {text[:80]!r}. "
                "seqio.SentencePieceVocabulary would make it one; the class of that "
                "name in mtmoe.data.vocabulary.sentence_pieces, and "
                "configured_vocabulary(), keep it text"
            )
        yield tokens


def _groups(texts: Iterable[str]) -> Iterator[list[str]]:
    group: list[str] = []
    characters = 0
    for text in texts:
        group.append(text)
        characters += len(text)
        if characters >= _CHARACTERS_TOGETHER:
            yield group
            group, characters = [], 0
    if group:
        yield group
