"""Blanks in sentences: to sentinels and back, in any script."""

from __future__ import annotations

import numpy as np
import pytest
from oracles.spiece_models import t5_model

from mtmoe.data.evaluation.infill import blank_tokens, fill_blanks, predicted_spans
from mtmoe.data.vocabulary.configured import sentencepiece_vocabulary
from mtmoe.errors import MtmoeError


@pytest.fixture(params=["byte_vocabulary", "small_vocabulary"])
def vocabulary(request):
    return request.getfixturevalue(request.param)


def _tokens(sentence, vocabulary) -> list[int]:
    return blank_tokens(sentence, vocabulary)


@pytest.mark.parametrize(
    ("whole", "masked", "span"),
    [
        (
            "All human beings are born free",
            "All human <extra_id_0> born free",
            " beings are",
        ),
        ("All human beings", "All human <extra_id_0>", " beings"),
        ("human beings are", "human bei<extra_id_0> are", "ngs"),
        ("人人生而自由", "人人<extra_id_0>自由", "生而"),
        ("كل الناس يولدون أحرارا", "كل <extra_id_0> يولدون أحرارا", " الناس"),
    ],
)
def test_filling_the_blank_with_what_stood_there_gives_the_sentence_back(
    whole, masked, span
):
    assert fill_blanks(masked, {0: span}) == whole


@pytest.mark.parametrize(
    "whole",
    [
        "All human beings are born free and equal in dignity and rights.",
        "كل الناس يولدون أحرارا متساوين في الكرامة والحقوق.",
        "人人生而自由,在尊严和权利上一律平等。",
    ],
)
def test_inputs_are_those_of_span_corruption_wherever_the_span_is(
    small_vocabulary, whole
):
    """Cutting any run of tokens, as training does, equals a user's blank there."""
    vocabulary = small_vocabulary
    lone_space = vocabulary.tokenizer.PieceToId("▁")
    tokens = list(vocabulary.encode(whole))
    sentinel = vocabulary.vocab_size - 1
    agreed = tried = 0
    for start in range(1, len(tokens) - 2):
        for length in (1, 2, 3):
            before, span = tokens[:start], tokens[start : start + length]
            after = tokens[start + length :]
            if before[-1] == lone_space:
                continue  # a user's space before a blank belongs to the span
            head = vocabulary.decode(before)
            tail = vocabulary.decode(tokens)[len(vocabulary.decode(before + span)) :]
            if "\ufffd" in head + tail or not whole.startswith(head):
                continue
            if not whole.endswith(tail) or not tail:
                continue
            gap = " " if whole[len(head) : len(head) + 1] == " " else ""
            masked = f"{head}{gap}<extra_id_0>{tail}"
            tried += 1
            agreed += _tokens(masked, vocabulary) == [*before, sentinel, *after]
    assert tried > 20 and agreed == tried


def test_a_byte_vocabulary_has_the_sentinel_between_the_bytes(byte_vocabulary):
    encode = byte_vocabulary.encode
    tokens = _tokens("人 bei<extra_id_2>s", byte_vocabulary)
    sentinel = byte_vocabulary.vocab_size - 3
    assert tokens == [*encode("人 bei"), sentinel, *encode("s")]


def test_several_blanks_keep_their_numbers(vocabulary):
    sentence = "<extra_id_1> human <extra_id_0><extra_id_7>s"
    top = vocabulary.vocab_size - 1
    tokens = _tokens(sentence, vocabulary)
    assert [top - t for t in tokens if t > top - 100] == [1, 0, 7]


def test_spans_are_read_up_to_the_end(vocabulary):
    top = vocabulary.vocab_size - 1
    text = vocabulary.encode("human beings")
    tokens = [*vocabulary.encode("x"), top, *text, top - 2, *text, top, 5, 1, *text]
    spans = predicted_spans(np.array(tokens), vocabulary)
    assert {number: span.strip() for number, span in spans.items()} == {
        0: "human beings",
        2: "human beings",
    }
    assert predicted_spans([top, 0, *text], vocabulary) == {0: ""}


def test_a_whole_round_keeps_spaces_and_right_to_left_order(small_vocabulary):
    whole = "كل الناس يولدون أحرارا متساوين في الكرامة والحقوق."
    masked = "كل <extra_id_0> أحرارا متساوين في <extra_id_1>."
    top = small_vocabulary.vocab_size - 1
    predicted = [
        top,
        *small_vocabulary.encode("الناس يولدون"),
        top - 1,
        *small_vocabulary.encode("الكرامة والحقوق"),
        1,
    ]
    spans = predicted_spans(predicted, small_vocabulary)
    assert fill_blanks(masked, spans) == whole


def test_spaces_are_neither_doubled_nor_lost_and_missing_spans_stay():
    assert fill_blanks("a <extra_id_0> c", {0: " b "}) == "a b c"
    assert fill_blanks("a<extra_id_0>c", {0: " b "}) == "a b c"
    assert fill_blanks("<extra_id_0> c", {0: " b"}) == "b c"
    assert fill_blanks("a <extra_id_0> <extra_id_1>", {1: "x"}) == "a <extra_id_0> x"
    assert fill_blanks("<extra_id_0><extra_id_1>", {0: "x", 1: " y"}) == "x y"


@pytest.mark.parametrize(
    ("sentence", "message"),
    [
        ("no blank", "^there is no blank"),
        ("<extra_id_0> <extra_id_0>", "the blank <extra_id_0> stands"),
        ("<extra_id_100>", "<extra_id_0> to <extra_id_99>"),
        ("\ue000 <extra_id_0>", r"U\+E000"),
    ],
)
def test_blanks_that_cannot_be(vocabulary, sentence, message):
    with pytest.raises(MtmoeError, match=message):
        blank_tokens(sentence, vocabulary)


def test_unknown_characters_beside_a_blank_stay_apart_from_it(tmp_path):
    """Without bytes for it, the mark of a blank is unknown like what is around it."""
    path = tmp_path / "t5.model"
    path.write_bytes(t5_model())
    vocabulary = sentencepiece_vocabulary(str(path), extra_ids=100)
    top, unknown = vocabulary.vocab_size - 1, vocabulary.unk_id
    alone = blank_tokens("Alle☃<extra_id_3>☃☃ sind <extra_id_0>", vocabulary)
    assert [top - t if t > top - 100 else t == unknown for t in alone] == [
        *[False] * len(vocabulary.encode("Alle")),
        True,
        3,
        True,
        *[False] * len(vocabulary.encode("sind")),
        0,
    ]
