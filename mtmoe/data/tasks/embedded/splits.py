"""The split of supervised rows: by a key that is the same in every language."""

from __future__ import annotations

import hashlib
from functools import cache

from mtmoe.data.sources.embedded import gflanguages, udhr
from mtmoe.data.sources.embedded.cleaning import clean_lines
from mtmoe.data.sources.embedded.package import Passage, SourcePackage
from mtmoe.data.sources.embedded.splits import LeakGuard, split_of_key, split_passages
from mtmoe.languages import MC4_LANGUAGES

SPLITS = ("train", "validation", "test")
TEST_ARTICLES = range(29, 31)
HELD_OUT_SHARE = 0.05

_ARTICLE = "udhr/article/"
_CORPUS = (_ARTICLE, "udhr/", "gflanguages/", "django/", "home_assistant/", "cldr/")


def task_split(key: str) -> str:
    """Returns the split, `train`, `validation` or `test`, of all rows of a key.

    It is the same in every language and every task. What span corruption holds out
    (`split_of_key`), and nothing else of the embedded corpus, is held out here: of the
    Declaration articles 26-28 for validation and 29-30 for test, of other keys one half
    each by a second hash. So no held-out text of one is training text of the other,
    as long as a task calls a text by the key the corpus calls it by. Keys of sources
    outside the corpus go to validation and test with a chance of 5 % each.
    """
    if key.startswith(_CORPUS):
        if split_of_key(key) == "train":
            return "train"
        if key.startswith(_ARTICLE):
            is_test = int(key.removeprefix(_ARTICLE)) in TEST_ARTICLES
        else:
            # With this prefix most languages have commands and answers in both.
            is_test = _fraction(f"halves/{key}") < 0.5
        return "test" if is_test else "validation"
    fraction = _fraction(key)
    if fraction < HELD_OUT_SHARE:
        return "validation"
    return "test" if fraction < 2 * HELD_OUT_SHARE else "train"


@cache
def held_out_guard() -> LeakGuard:
    """Returns a guard that knows the held-out prose of every language."""
    documents: list[str] = []
    for code in MC4_LANGUAGES:
        passages = [p for package in _PROSE for p in _passages(package, code)]
        documents += (
            "\n".join(clean_lines(passage.text))
            for passage in split_passages(passages)["validation"]
        )
    return LeakGuard(documents)


_PROSE = (udhr.PACKAGE, gflanguages.PACKAGE)


def _passages(package: SourcePackage, code: str) -> list[Passage]:
    installation = package.locate()
    return [] if installation is None else package.passages(installation.root, code)


def _fraction(text: str) -> float:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64
