"""Columns line up whatever the script."""

from __future__ import annotations

import pytest

from mtmoe.cli.terminal import display_width, isolated, one_line, table


@pytest.mark.parametrize(
    ("text", "width"),
    [("watu", 4), ("人人", 4), ("ｱ", 1), ("é", 1), ("e\u0301", 1), ("a\u200db", 2)],
)
def test_display_width(text, width):
    assert display_width(text) == width


def test_columns_are_aligned_by_what_is_shown():
    text = table(["name", "n"], [["人", "1"], ["abc", "22"]], right=[1])
    assert text.splitlines() == ["name   n", "人     1", "abc   22"]
    assert len({display_width(line) for line in text.splitlines()}) == 1


def test_only_right_to_left_text_is_isolated():
    assert isolated("watu 123") == "watu 123"
    for text in ("שלום", "سلام a"):
        assert isolated(text) == f"\u2068{text}\u2069"


def test_one_line():
    assert one_line("a\nb\tc\u2028") == "a\\nb\\tc\\u2028"
    assert one_line("人人人", 6) == "人人人"
    assert one_line("人人人人", 6) == "人人…"
    assert one_line("abc", 3) == "abc"
