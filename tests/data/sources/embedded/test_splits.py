from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mtmoe.data.sources.embedded.package import Passage
from mtmoe.data.sources.embedded.splits import (
    LeakGuard,
    shingles,
    split_of_key,
    split_passages,
)

HELD_OUT = "Everyone has duties to the community in which alone"


def test_articles_26_to_30_are_held_out() -> None:
    split = {n: split_of_key(f"udhr/article/{n}") for n in range(1, 31)}
    assert [n for n in split if split[n] == "validation"] == [26, 27, 28, 29, 30]
    assert split_of_key("udhr/preamble") == "train"


def test_five_percent_of_other_keys_are_held_out() -> None:
    splits = [split_of_key(f"django/message {n}") for n in range(20_000)]
    assert 0.045 < splits.count("validation") / len(splits) < 0.055


def test_the_split_of_a_key_never_changes() -> None:
    # Another hash would show a model that was trained before its validation text.
    codes = "AF AT CK CZ DE FI FR GH IO JP PE TV".split()
    held_out = {c for c in codes if split_of_key(f"cldr/territories/{c}") != "train"}
    assert held_out == set("AT CK CZ FI IO".split())


def test_without_an_article_the_last_third_of_the_specimens_is_held_out() -> None:
    passages = [Passage(f"gflanguages/{n}", f"line {n}", "g", True) for n in range(7)]
    parts = split_passages(passages)
    assert [p.text for p in parts["validation"]] == ["line 4", "line 5", "line 6"]
    assert [p.text for p in parts["train"]] == [f"line {n}" for n in range(4)]


def test_with_an_article_the_specimens_train() -> None:
    specimens = [Passage(f"gflanguages/{n}", "x", "g", True) for n in range(3)]
    article = Passage("udhr/article/27", "text", "a", True)
    parts = split_passages([article, *specimens])
    assert parts == {"train": specimens, "validation": [article]}


def test_leaks_are_found_through_case_spacing_and_line_breaks() -> None:
    guard = LeakGuard([HELD_OUT])
    assert guard.leaks("... EVERYONE has\nduties, to the community (in) which")
    assert not guard.leaks("Everyone has duties to all")


def test_cut_leaves_what_does_not_repeat() -> None:
    guard = LeakGuard([HELD_OUT])
    rest = "he was born and has a right to go where he wants"
    assert guard.cut(f"Everyone has duties to the community {rest}") == [rest]
    assert guard.cut(rest) == [rest]
    assert guard.cut("everyone has duties to the community") == []


@given(
    st.text(alphabet="ab ,", min_size=0, max_size=120),
    st.text(alphabet="ab ,", min_size=0, max_size=120),
)
def test_nothing_that_is_kept_leaks(held_out: str, line: str) -> None:
    guard = LeakGuard([held_out])
    for piece in guard.cut(line):
        assert not guard.leaks(piece)


def test_shingles_are_all_runs_of_24_letters() -> None:
    text = "abcdefghijklmnopqrstuvwxyz"
    assert shingles(text) == {text[:24], text[1:25], text[2:]}
    assert shingles(text[:23]) == set()
