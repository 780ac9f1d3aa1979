"""Texts encoded directly: the vocabulary's own tokens, joined as T5 joins them."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import seqio
from sample_sentences import SENTENCES

from mtmoe.data.token_cache import encoding
from mtmoe.data.token_cache.encoding import (
    document_tokens,
    encode_texts,
    plain_text_key,
)
from mtmoe.errors import CorpusError

TEXTS = [*SENTENCES, "", "  two  spaces ", "tab\there", "🙂 and Ωmega <extra_id_1>"]


@pytest.mark.parametrize("kind", ["byte_vocabulary", "small_vocabulary"])
def test_tokens_are_the_vocabulary_s_however_texts_are_grouped(
    kind, request, monkeypatch
):
    vocabulary = request.getfixturevalue(kind)
    monkeypatch.setattr(encoding, "_CHARACTERS_TOGETHER", 100)
    encoded = list(encode_texts(iter(TEXTS), vocabulary))
    assert [tokens.tolist() for tokens in encoded] == [
        list(vocabulary.encode(text)) for text in TEXTS
    ]
    assert {tokens.dtype for tokens in encoded} == {np.dtype(np.int32)}
    joined = document_tokens(TEXTS, vocabulary)
    np.testing.assert_array_equal(joined, np.concatenate(encoded))


def test_seqios_own_class_would_read_sentinels_in_text(small_vocabulary):
    file = small_vocabulary.sentencepiece_model_file
    theirs = seqio.SentencePieceVocabulary(file, extra_ids=100)
    same = TEXTS[:-1]
    for ours, other in zip(
        encode_texts(same, small_vocabulary), encode_texts(same, theirs), strict=True
    ):
        np.testing.assert_array_equal(ours, other)
    with pytest.raises(CorpusError, match="spells a sentinel.*<extra_id_1>"):
        list(encode_texts(TEXTS, theirs))


def test_no_documents_are_no_tokens_and_padding_is_left_out(
    byte_vocabulary, monkeypatch
):
    assert document_tokens([], byte_vocabulary).tolist() == []
    monkeypatch.setattr(type(byte_vocabulary), "encode", lambda self, s: [5, 0, 6, 0])
    assert document_tokens(["x", "y"], byte_vocabulary).tolist() == [5, 6, 5, 6]


def test_only_rekey_and_tokenize_are_plain_text():
    rekey = functools.partial(
        seqio.preprocessors.rekey, key_map={"inputs": None, "targets": "body"}
    )
    tokenize = seqio.preprocessors.tokenize
    assert plain_text_key((rekey, tokenize)) == "body"
    for steps in (
        (rekey,),
        (tokenize, rekey),
        (rekey, functools.partial(tokenize, with_eos=True)),
        (functools.partial(seqio.preprocessors.rekey, None), tokenize),
        (functools.partial(tokenize, key_map={"targets": "x"}), tokenize),
        (functools.partial(rekey, num_parallel_calls=1), tokenize),
        (lambda dataset: dataset, tokenize),
    ):
        assert plain_text_key(steps) is None


@pytest.mark.parametrize("kind", ["byte_vocabulary", "small_vocabulary"])
@pytest.mark.parametrize("text", [None, 3, b"x", ["x"], "\ud83d"])
def test_nothing_but_text_is_encoded(kind, text, request):
    vocabulary = request.getfixturevalue(kind)
    with pytest.raises(CorpusError, match="text 2 to encode .*; a text is wanted"):
        list(encode_texts(["good", text], vocabulary))
