"""Function words of 55 languages (`stopwordsiso`)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache

from mtmoe.data.tasks.embedded.packages import python_package_root
from mtmoe.data.tasks.embedded.splits import SPLITS, task_split

ORIGIN = "stopwordsiso"
LICENCE = "MIT"

_NAMES = {"fil": "tl", "iw": "he"}


@cache
def words_by_split(code: str) -> Mapping[str, tuple[tuple[str, str], ...]]:
    """Returns the (key, word) pairs of a language by the split of their keys."""
    found: dict[str, list[tuple[str, str]]] = {split: [] for split in SPLITS}
    for word in sorted(_words().get(_NAMES.get(code, code), ())):
        if any(map(str.isalpha, word)):
            key = f"stopwordsiso/{word}"
            found[task_split(key)].append((key, word))
    return {split: tuple(words) for split, words in found.items()}


@cache
def _words() -> Mapping[str, list[str]]:
    root = python_package_root("stopwordsiso", "stopwordsiso")
    text = (root / "stopwords-iso.json").read_text(encoding="utf-8")
    words: Mapping[str, list[str]] = json.loads(text)
    return words
