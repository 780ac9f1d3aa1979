"""Splits of supervised rows against those of the embedded corpus."""

from __future__ import annotations

from collections import Counter

from mtmoe.data.sources.embedded import udhr
from mtmoe.data.sources.embedded.cleaning import clean_lines
from mtmoe.data.sources.embedded.splits import split_of_key
from mtmoe.data.tasks.embedded.splits import held_out_guard, task_split

CORPUS_KEYS = [
    *(f"udhr/article/{number}" for number in range(1, 31)),
    "udhr/preamble",
    *(f"django/message {number}" for number in range(2000)),
    *(f"cldr/territories/{number}" for number in range(2000)),
    *(f"home_assistant/Intent{number}/default/" for number in range(2000)),
]


def test_what_the_corpus_holds_out_is_held_out_and_nothing_else_of_it():
    for key in CORPUS_KEYS:
        is_training = split_of_key(key) == "train"
        assert (task_split(key) == "train") == is_training


def test_articles():
    splits = [task_split(f"udhr/article/{number}") for number in range(1, 31)]
    assert splits == ["train"] * 25 + ["validation"] * 3 + ["test"] * 2
    assert task_split("udhr/preamble") == "train"


def test_shares():
    held_out = Counter(task_split(key) for key in CORPUS_KEYS)
    assert 0.4 < held_out["test"] / (held_out["test"] + held_out["validation"]) < 0.6
    others = Counter(task_split(f"stopwordsiso/{number}") for number in range(10_000))
    assert 430 < others["validation"] < 570 and 430 < others["test"] < 570


def test_the_guard_knows_held_out_prose_of_every_language():
    root = udhr.PACKAGE.locate().root
    guard = held_out_guard()
    for code in ("sw", "yo", "zh", "ar", "iw", "en"):
        passages = {
            passage.key: passage.text for passage in udhr.PACKAGE.passages(root, code)
        }
        for number in (26, 29, 30):
            lines = clean_lines(passages[f"udhr/article/{number}"])
            assert guard.leaks("\n".join(lines))
    assert not guard.leaks("washa taa zote za chumba cha kulala sasa hivi tafadhali")
