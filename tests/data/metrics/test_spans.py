"""Span F1 by hand."""

import pytest

from mtmoe.data.metrics.spans import format_spans, parse_spans, slot_f1, span_f1


def test_spans_there_and_back():
    spans = [("PER", "Anna Berg"), ("ORG", "Ministry: North"), ("PER", "Anna Berg")]
    text = format_spans(spans)
    assert text == "PER: Anna Berg $$ ORG: Ministry: North $$ PER: Anna Berg"
    assert parse_spans(text) == spans


def test_no_spans_have_a_text_too():
    assert format_spans([]) == "none"
    assert parse_spans("none") == parse_spans("") == parse_spans(" $$ ") == []


def test_what_is_no_span_is_left_out():
    assert parse_spans("PER: a  b $$ and then $$LOC:c") == [
        ("PER", "a b"),
        ("LOC", "c"),
    ]


def test_span_f1_by_hand():
    targets = ["PER: a $$ LOC: b", "ORG: c", "none"]
    predictions = ["PER: a $$ PER: b", "", "LOC: d"]
    # 1 right of 3 predicted and 3 expected.
    assert span_f1(targets, predictions) == {"span_f1": pytest.approx(100 / 3)}


def test_a_span_counts_as_often_as_it_is_there():
    # 1 right of 1 predicted, of 2 expected; then of 3 predicted and 1 expected.
    assert span_f1(["PER: a $$ PER: a"], ["PER: a"])["span_f1"] == pytest.approx(
        200 / 3
    )
    assert span_f1(["PER: a"], ["PER: a $$ PER: a $$ PER: a"])["span_f1"] == 50.0


def test_order_does_not_matter_and_extremes_are_defined():
    assert span_f1(["PER: a $$ LOC: b"], ["LOC: b $$ PER: a"])["span_f1"] == 100.0
    assert span_f1(["none"], ["none"])["span_f1"] == 100.0
    assert span_f1(["PER: a"], ["LOC: a"])["span_f1"] == 0.0


def test_a_text_with_a_colon_is_not_dropped():
    assert span_f1(["ORG: a: b"], ["ORG: a"])["span_f1"] == 0.0
    assert span_f1(["ORG: a: b"], ["ORG: a: b"])["span_f1"] == 100.0


def test_slots_ignore_case():
    assert slot_f1(["time: 7 PM $$ party: two"], ["time: 7 pm"]) == {
        "slot_f1": pytest.approx(200 / 3)
    }
    assert span_f1(["time: 7 PM"], ["time: 7 pm"])["span_f1"] == 0.0
