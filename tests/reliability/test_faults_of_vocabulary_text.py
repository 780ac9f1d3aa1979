"""Text that others write: bytes, unknown characters, spelled special tokens."""

from __future__ import annotations

import dataclasses
import math

import gin
import numpy as np
import pytest
import registrations
import seqio
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.spiece_models import LINES, own_model, t5_model

from mtmoe.data.batches.preview import preview_examples
from mtmoe.data.evaluation.examples import evaluation_examples, text_examples
from mtmoe.data.evaluation.text_bytes import encode_with_bytes, is_lossless, token_kinds
from mtmoe.data.objectives.language_model import LanguageModel
from mtmoe.data.objectives.span_corruption import SpanCorruption
from mtmoe.data.sources.text import TextSource
from mtmoe.data.tasks.card import TaskCard
from mtmoe.data.tasks.registration import register_text_task
from mtmoe.data.token_cache.encoding import encode_texts
from mtmoe.data.vocabulary.configured import (
    configured_vocabulary,
    sentencepiece_vocabulary,
)
from mtmoe.data.vocabulary.sentence_pieces import SENTINEL
from mtmoe.evaluate.bootstrap import Bootstrap
from mtmoe.evaluate.metrics import example_sums, score
from mtmoe.evaluate.tabulate import unknown_shares
from mtmoe.evaluate.unknown import unknown_lines

TEXTS, SPELLINGS = 40, 40  # examples of each property

MODELS = {
    "bytes for all, text as it is": own_model,
    "NFKC": lambda: t5_model(normalization_rule_name="nmt_nfkc"),
    "NFKC, case folded": lambda: t5_model(normalization_rule_name="nmt_nfkc_cf"),
    "no rules, no bytes": lambda: t5_model(normalization_rule_name="identity"),
    "BPE": lambda: t5_model(model_type="bpe", hard_vocab_limit=False),
    "characters": lambda: t5_model(model_type="char", hard_vocab_limit=False),
    "NFKC, bytes for the rest": lambda: t5_model(byte_fallback=True, vocab_size=360),
}
SPECIAL = ["<extra_id_0>", " <extra_id_7>", "▁<extra_id_99>", "</s>", "<pad>", "<unk>"]
ODD = [
    "\u200d",
    "\u200c",
    "ＡＢＣ　１２３",
    "ﬁ",
    "㌔",
    "e\u0301\u0323",
    "ｶﾞ",
    "☃☃",
    "  ",
    "\n",
]
TEXT = st.lists(
    st.one_of(st.sampled_from([*SPECIAL, *ODD, *LINES]), st.text(max_size=12)),
    max_size=8,
).map("".join)


@pytest.fixture(scope="module")
def vocabularies(tmp_path_factory) -> dict[str, seqio.Vocabulary]:
    folder = tmp_path_factory.mktemp("models")
    made = {}
    for number, (name, model) in enumerate(MODELS.items()):
        path = folder / f"{number}.model"
        path.write_bytes(model())
        made[name] = sentencepiece_vocabulary(str(path), extra_ids=100)
    return made


@settings(max_examples=TEXTS)
@given(TEXT)
def _text_stays_text(vocabulary: seqio.Vocabulary, text: str) -> None:
    [(tokens, bytes_)] = encode_with_bytes([text], vocabulary)
    [cached] = encode_texts([text], vocabulary)
    assert tokens.tolist() == cached.tolist() == list(vocabulary.encode(text))
    kinds = token_kinds(vocabulary)
    assert kinds.is_text[tokens].all()  # no padding, end or sentinel
    assert (bytes_ >= 0).all()
    assert bytes_.sum() == (len(text.encode()) if len(tokens) else 0)
    if is_lossless(vocabulary) and not set("▁\0") & set(text):
        assert vocabulary.decode(tokens.tolist()) == text


@pytest.mark.parametrize("name", MODELS)
def test_any_text_in_any_vocabulary(tried, vocabularies, name):
    _text_stays_text(vocabularies[name])
    tried(
        "bytes",
        f"{TEXTS} generated texts (joiners, full-width letters, combining marks, "
        f"unknown scripts, special spellings), vocabulary: {name}",
        "bytes of the tokens sum to the bytes of the text; no token is a special one",
    )


@settings(max_examples=SPELLINGS)
@given(
    st.sampled_from(SPECIAL),
    st.sampled_from(["", " ", "a", "frei ", "人", "\n"]),
    st.sampled_from(["", " ", "b", " und", "权"]),
)
def _spellings_survive(vocabularies, special: str, before: str, behind: str) -> None:
    text = f"{before}{special}{behind}"
    wanted = special.replace("▁", " ").strip()
    for vocabulary in vocabularies.values():
        tokens = vocabulary.encode(text)
        if token_kinds(vocabulary).unk_id is None:
            assert wanted in vocabulary.decode(tokens)
        assert token_kinds(vocabulary).is_text[np.array(tokens, np.int32)].all()
        assert vocabulary.encode_tf(text).numpy().tolist() == list(tokens)


def test_spellings_of_special_tokens(tried, vocabularies):
    _spellings_survive(vocabularies)
    tried(
        "vocabulary",
        f"{SPELLINGS} generated texts that spell a special token, in {len(MODELS)} "
        "vocabularies",
        "text in training, cache and SeqIO's operations alike; decoding gives it back",
    )


def test_sentinels_in_raw_text(tried, tmp_path, monkeypatch):
    """Long-Context-Data-Engineering#14, tokenizers#787."""
    monkeypatch.setenv("MTMOE_CACHE", str(tmp_path))
    path = tmp_path / "their.model"
    path.write_bytes(t5_model(byte_fallback=True, vocab_size=360))
    gin.parse_config(
        f"""
        configured_vocabulary.factory = @sentencepiece_vocabulary
        sentencepiece_vocabulary.path = {str(path)!r}
        sentencepiece_vocabulary.extra_ids = 100
        """
    )
    documents = [f"Andika <extra_id_{i % 5}> hapa </s>, namba {i}." for i in range(60)]
    with registrations.undone():
        register_text_task(
            "spelled.sw",
            TextSource(lambda split: documents, language="sw"),
            SpanCorruption(),
            TaskCard(family="pretraining", language="sw", labels="self"),
        )
        [shown] = preview_examples(
            "spelled.sw", "train", 1, {"inputs": 200, "targets": 60}
        )
        examples = evaluation_examples(
            "spelled.sw", "train", {"inputs": 200, "targets": 60}, 1
        )
    sentinels = [p for p in shown.pieces["inputs"] if SENTINEL.fullmatch(p)]
    spans = len(set(sentinels))
    assert (
        len(sentinels)
        == spans
        == len(shown.pieces["targets"])
        - sum(not SENTINEL.fullmatch(p) for p in shown.pieces["targets"])
    )
    vocabulary = configured_vocabulary()
    first = vocabulary.vocab_size - 100
    for inputs, targets in zip(examples.inputs, examples.targets, strict=True):
        numbers = inputs[inputs >= first].tolist()
        assert numbers == list(range(vocabulary.vocab_size - 1, numbers[-1] - 1, -1))
        assert (inputs == 1).sum() == (targets == 1).sum() == 1
    tried(
        "vocabulary",
        "` <extra_id_0>` and `</s>` in documents "
        "(Long-Context-Data-Engineering#14, tokenizers#787)",
        "stay text: rows hold the sentinels of their own blanks alone, each once",
    )


def test_text_that_a_vocabulary_does_not_know(tried, vocabularies):
    """t5#390, sentencepiece#896, #629, #1031."""
    vocabulary = vocabularies["NFKC"]
    text = "Ελλάδα είναι όμορφη χώρα μου σήμερα\n" * 30
    examples = text_examples(
        [text], {"inputs": 2, "targets": 64}, 1, 0, LanguageModel(), vocabulary
    )
    assert examples.target_bytes.sum() == len(text.encode())
    kinds = token_kinds(vocabulary)
    nats_V = np.full(vocabulary.vocab_size, math.log(256))
    loss_ET = nats_V[examples.targets].astype(np.float32)
    sums = example_sums(examples, loss_ET, examples.targets, kinds, nats_V, nats_V)
    scored = score("el.txt", sums, Bootstrap(10), may_be_unknown=True)
    assert scored.num_bytes == len(text.encode())
    bits = scored.num_tokens * 8 / scored.num_bytes
    assert scored.metrics["bits_per_byte"].value == pytest.approx(bits)
    assert scored.metrics["unknown_tokens"].value == pytest.approx(0.5, abs=0.02)
    assert scored.metrics["unknown_bytes"].value > 0.9
    [line] = unknown_lines(unknown_shares({"el.txt": scored}))
    assert line.startswith("el.txt: the vocabulary knows no character of this text")
    tried(
        "bytes",
        "Greek to a vocabulary without Greek or bytes (t5#390, sentencepiece#896)",
        "all bytes counted, unknown tokens scored, their share a metric; a line says "
        "that the vocabulary knows no character",
    )
    some = dataclasses.replace(sums, known_tokens=sums.text_tokens)
    told = unknown_lines(
        unknown_shares({"x": score("x", some, Bootstrap(10), may_be_unknown=True)})
    )
    assert "of the tokens are unknown to the vocabulary" in told[0]
    tried("bytes", "1 % of unknown tokens, or more", "a warning with both shares")


@pytest.mark.parametrize(
    "text",
    [
        "ＡＢＣ　１２３",
        "frei\u200cund\u200dgleich",
        "zwei  \t Leerzeichen ",
        "ﬁn ½ e\u0301",
    ],
    ids=["full-width", "joiners", "spaces", "compositions"],
)
def test_text_that_a_vocabulary_normalises(tried, vocabularies, text):
    """sentencepiece#629, #1031."""
    [(_, bytes_)] = encode_with_bytes([text], vocabularies["NFKC"])
    assert bytes_.sum() == len(text.encode())
    tried(
        "bytes",
        f"text that NFKC changes (sentencepiece#629, #1031): {ascii(text)[1:-1]}",
        f"{len(text.encode())} bytes, those of the text",
    )
