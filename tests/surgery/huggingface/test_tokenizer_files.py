"""The exported tokenizer gives the ids of the vocabulary it was made of."""

from __future__ import annotations

import json

import pytest
import seqio
from oracles.spiece_models import LINES, own_model, t5_model
from transformers import AutoTokenizer

from mtmoe.data.vocabulary.configured import sentencepiece_vocabulary
from mtmoe.surgery.huggingface.tokenizer import extra_ids_of, write_tokenizer

TEXTS = [
    *LINES,
    "  zwei Leerzeichen  vorn und mitten  ",
    "eine Zeile\nund\tnoch eine",
    "🦒 unbekannt ﬁ ½ Å",
    "",
    "x",
]
WITH_SENTINELS = ["Alle <extra_id_0> sind <extra_id_1> geboren.", "frei <extra_id_0>"]


MODELS = {
    "own": (own_model, 100),
    "t5": (t5_model, 100),
    "mt5": (
        lambda: t5_model(
            byte_fallback=False,
            user_defined_symbols=[f"▁<extra_id_{i}>" for i in range(3, -1, -1)],
        ),
        0,
    ),
}


@pytest.mark.parametrize("kind", MODELS)
def test_ids_agree(kind, tmp_path):
    make, extra_ids = MODELS[kind]
    path = tmp_path / "vocabulary.model"
    path.write_bytes(make())
    vocabulary = seqio.SentencePieceVocabulary(str(path), extra_ids=extra_ids)
    folder = tmp_path / "exported"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "t5"}))
    assert write_tokenizer(folder, vocabulary) is None
    assert (folder / "spiece.model").read_bytes() == path.read_bytes()
    assert extra_ids_of(folder / "spiece.model", 100) == extra_ids

    tokenizer = AutoTokenizer.from_pretrained(folder)
    for text in TEXTS + WITH_SENTINELS:
        assert tokenizer(text).input_ids == [*vocabulary.encode(text), 1], text
    for text in LINES:
        ids = tokenizer(text).input_ids
        assert tokenizer.decode(ids, skip_special_tokens=True) == vocabulary.decode(ids)
    sentinels = extra_ids or 4
    first = vocabulary.encode(" <extra_id_0>")[-1]
    assert tokenizer.convert_tokens_to_ids("<extra_id_0>") == first
    if extra_ids:
        assert first == vocabulary.vocab_size - 1
    last = tokenizer.convert_tokens_to_ids(f"<extra_id_{sentinels - 1}>")
    assert last == first - (sentinels - 1)
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id) == (0, 1)
    assert tokenizer.unk_token_id == 2
    word = tokenizer("frei").input_ids[:-1]
    assert tokenizer.decode([*word, first, 1], skip_special_tokens=True) == "frei"


def test_what_the_files_cannot_hold_is_said(tmp_path):
    assert "ByteVocabulary" in write_tokenizer(tmp_path, seqio.ByteVocabulary())
    for options, reason in (
        ({"model_type": "bpe"}, "unigram"),
        ({"add_dummy_prefix": False}, "spaces"),
    ):
        path = tmp_path / f"{reason}.model"
        path.write_bytes(t5_model(**options))
        vocabulary = seqio.SentencePieceVocabulary(str(path))
        assert reason in write_tokenizer(tmp_path, vocabulary)
        path.unlink()
    assert list(tmp_path.iterdir()) == []


def test_special_ids_are_the_vocabularys(tmp_path):
    path = tmp_path / "eos2.model"
    path.write_bytes(t5_model(bos_id=1, eos_id=2, unk_id=3))
    vocabulary = sentencepiece_vocabulary(str(path), extra_ids=100)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "t5"}))
    assert write_tokenizer(tmp_path, vocabulary) is None
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert tokenizer("frei").input_ids == [*vocabulary.encode("frei"), 2]
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id) == (1, 2)
    assert (tokenizer.pad_token_id, tokenizer.unk_token_id) == (0, 3)
