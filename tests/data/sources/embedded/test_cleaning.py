from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtmoe.data.sources.embedded.cleaning import (
    clean_line,
    clean_lines,
    comparable,
    letters,
)


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("Delete %(count)d objects", "Delete objects"),
        ("The %s was added", "The was added"),
        ("Page {0} of {total}", "Page of"),
        ("{{ slots.name }} is on", "is on"),
        ("{% if x %}yes{% endif %}", "yes"),
        ('Use <a href="#">this</a> &amp; that', "Use this & that"),
        ("a &lt;b&gt; c", "a c"),
        ("50% done", "50% done"),
        ("x < y and y > z", "x < y and y > z"),
        ("“%(name)s” is taken", "is taken"),
        ("two\u00a0\t words ", "two words"),
        ("e\u0301", "é"),
        ("soft\u00adhyphen \u200emark\x07", "softhyphen mark"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("%s: {x}", ""),
        ("12 : 30", ""),
    ],
)
def test_clean_line(raw: str, clean: str) -> None:
    assert clean_line(raw) == clean


def test_clean_lines_keeps_order_and_drops_empty_lines() -> None:
    assert clean_lines("one\n\n%s\ntwo\r\nthree") == ["one", "two", "three"]


@given(st.text())
def test_a_clean_line_is_composed_single_spaced_and_free_of_controls(raw: str) -> None:
    line = clean_line(raw)
    assert line == unicodedata.normalize("NFC", line)
    assert line == " ".join(line.split())
    assert not any(unicodedata.category(c) == "Cc" for c in line)
    assert not line or any(c.isalpha() for c in line)


def test_comparable_ignores_case_and_spacing() -> None:
    assert comparable("Save  Changes") == comparable("save changes")


def test_letters_are_letters_alone() -> None:
    assert letters("Straße 12, É!") == "strasseé"
