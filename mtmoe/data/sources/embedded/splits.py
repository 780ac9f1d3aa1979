"""Which text is held out, and the guard that keeps it out of training."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from itertools import groupby

from mtmoe.data.sources.embedded.cleaning import letters
from mtmoe.data.sources.embedded.package import Passage

HELD_OUT_ARTICLES = range(26, 31)
HELD_OUT_SHARE = 0.05
SHINGLE_LETTERS = 24

_ARTICLE = "udhr/article/"
_SPECIMEN = "gflanguages/"


def split_of_key(key: str) -> str:
    """Returns the split, `train` or `validation`, of everything called by a key.

    It is the same in every language. Articles 26-30 of the Declaration are held out;
    any other key is with a chance of 5 %, by its SHA-256. Prose without a common key
    (gflanguages, the Declaration's preamble) is training text.
    """
    if key.startswith(_ARTICLE):
        is_held_out = int(key.removeprefix(_ARTICLE)) in HELD_OUT_ARTICLES
    elif key.startswith((_SPECIMEN, "udhr/")):
        is_held_out = False
    else:
        digest = hashlib.sha256(key.encode()).digest()
        is_held_out = int.from_bytes(digest[:8], "big") < HELD_OUT_SHARE * 2**64
    return "validation" if is_held_out else "train"


def split_passages(
    passages: Sequence[Passage],
) -> dict[str, list[Passage]]:
    """Splits a language's passages by their keys.

    A language without a held-out article holds out the last third of its gflanguages
    lines, so that each has validation prose.
    """
    parts: dict[str, list[Passage]] = {"train": [], "validation": []}
    for passage in passages:
        parts[split_of_key(passage.key)].append(passage)
    if not any(passage.is_prose for passage in parts["validation"]):
        specimens = [p for p in passages if p.key.startswith(_SPECIMEN)]
        held_out = specimens[len(specimens) - -(-len(specimens) // 3) :]
        parts["train"] = [p for p in parts["train"] if p not in held_out]
        parts["validation"] = [*held_out, *parts["validation"]]
    return parts


class LeakGuard:
    """Recognises text that repeats held-out prose.

    Two texts overlap when they share a shingle: 24 consecutive letters, with case,
    spaces, digits, punctuation and line breaks left out.
    """

    def __init__(self, held_out: Iterable[str]):
        """Takes the held-out documents of one language."""
        self._shingles = {
            shingle for document in held_out for shingle in shingles(document)
        }

    def leaks(self, text: str) -> bool:
        """Returns whether a text shares a shingle with a held-out document."""
        return not self._shingles.isdisjoint(shingles(text))

    def cut(self, line: str) -> list[str]:
        """Returns what is left of a line without the words that repeat held-out prose.

        In some languages most articles open with the same words ("Motho e mong le e
        mong o na le tokelo ya ho ..."): the rest of such an article is still good
        text. Words in a row stay together; a piece shorter than a shingle is dropped.
        """
        if not self.leaks(line):
            return [line]
        words = line.split(" ")
        word_letters = [letters(word) for word in words]
        run = "".join(word_letters)
        owner = [n for n, part in enumerate(word_letters) for _ in part]
        repeated: set[int] = set()
        for start in range(len(run) - SHINGLE_LETTERS + 1):
            if run[start : start + SHINGLE_LETTERS] in self._shingles:
                repeated.update(owner[start : start + SHINGLE_LETTERS])
        pieces = [
            " ".join(words[n] for n in numbers)
            for is_repeated, numbers in groupby(
                range(len(words)), key=repeated.__contains__
            )
            if not is_repeated
        ]
        return [piece for piece in pieces if len(letters(piece)) >= SHINGLE_LETTERS]


def shingles(text: str) -> set[str]:
    """Returns every run of 24 consecutive letters of a text."""
    run = letters(text)
    return {
        run[start : start + SHINGLE_LETTERS]
        for start in range(len(run) - SHINGLE_LETTERS + 1)
    }
