"""Rows about single words: lemmas (`simplemma`) and hyphenation (`pyphen`).

The words are those of the embedded corpus: they are in use, which few of the millions
of forms in a dictionary are.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from itertools import islice

from mtmoe.data.sources.embedded.corpus import SPLITS, load_corpus
from mtmoe.data.tasks.embedded.rows import Row
from mtmoe.languages import language

LEMMA_ORIGIN = "simplemma, words of the embedded corpus"
LEMMA_LICENCE = "MIT; dictionaries as their sources"
HYPHEN_ORIGIN = "pyphen, words of the embedded corpus"
HYPHEN_LICENCE = "GPL-2.0, LGPL-2.1 or MPL-1.1"

WORD_LENGTHS = range(3, 31)
MOST_WORDS = 1500
"""Most words of a language that rows are made of, those of its prose first."""

# Dictionaries not called by mC4's code. That of Serbian mixes it with Croatian and
# Bosnian; only words in mC4's script, Cyrillic, are looked up.
_DICTIONARIES = {"fil": "tl", "iw": "he", "no": "nb", "sr": "hbs"}
_PATTERNS = {"de": "de_DE", "en": "en_US", "no": "nb_NO", "pt": "pt_PT"}
_APOSTROPHES = frozenset("'\u2019")


@lru_cache(maxsize=2)
def corpus_words(code: str) -> tuple[str, ...]:
    """Returns the words of a language's documents in order, each once.

    Words of letters, marks and inner apostrophes. Of words that differ in case alone
    one is kept, in lower case if it ever occurs so.
    """
    tokens = (
        token
        for split in SPLITS
        for document in load_corpus().documents(code, split)
        for token in document.split()
    )
    found: dict[str, str] = {}
    for token in dict.fromkeys(tokens):
        word = _stripped(token)
        if len(word) not in WORD_LENGTHS or not all(map(_is_of_words, word)):
            continue
        folded = word.lower()
        if found.setdefault(folded, word) != folded and word == folded:
            found[folded] = folded
    return tuple(found.values())


def lemma_rows(code: str) -> Iterator[Row]:
    """Yields the dictionary form of each word that has one."""
    name = language(code).name
    for word, lemma in _lemmas(code).items():
        question = f"dictionary form of this {name} word: {word}"
        yield f"word/{word}", {"inputs": question, "targets": lemma}


def is_lemma_rows(code: str) -> Iterator[Row]:
    """Yields whether one word is the dictionary form of another, for inflected words.

    Every other one is. A wrong one is that of the next word of another lemma in order
    of the alphabet, so that the two begin alike.
    """
    name = language(code).name
    pairs = sorted(
        (word, lemma)
        for word, lemma in _lemmas(code).items()
        if word.lower() != lemma.lower()
    )
    for number, (word, lemma) in enumerate(pairs):
        following = (
            pairs[(number + step) % len(pairs)][1] for step in range(1, len(pairs))
        )
        wrong = next((other for other in following if other != lemma), None)
        is_right = number % 2 == 0
        shown = lemma if is_right else wrong
        if shown is not None:
            question = f'is "{shown}" the dictionary form of this {name} word: {word}'
            answer = "yes" if is_right else "no"
            yield f"word/{word}", {"inputs": question, "targets": answer}


def hyphenation_rows(code: str) -> Iterator[Row]:
    """Yields each word that can be hyphenated, with hyphens at all such places."""
    from pyphen import Pyphen

    patterns = Pyphen(lang=_PATTERNS.get(code, code))
    name = language(code).name
    for word in corpus_words(code)[:MOST_WORDS]:
        hyphenated = patterns.inserted(word)
        if hyphenated != word:
            question = f"hyphenate this {name} word: {word}"
            yield f"word/{word}", {"inputs": question, "targets": hyphenated}


@cache
def _lemmas(code: str) -> Mapping[str, str]:
    """The dictionary form of words of the corpus that the dictionary has."""
    from simplemma.strategies.dictionaries import stream_dictionary_factory

    # The one class of simplemma that does not hold all of a dictionary in memory.
    factory = stream_dictionary_factory.StreamDictionaryFactory(cache_max_size=1)
    dictionary = factory.get_dictionary(_DICTIONARIES.get(code, code))
    known = (pair for word in corpus_words(code) if (pair := _entry(dictionary, word)))
    return dict(islice(known, MOST_WORDS))


def _entry(dictionary: Mapping[str, str], word: str) -> tuple[str, str] | None:
    # A word that begins a sentence has a capital that is not its own.
    for form in dict.fromkeys((word, word.lower())):
        lemma = dictionary.get(form)
        if lemma is not None and all(map(_is_of_words, lemma)):
            return form, lemma
    return None


def _stripped(token: str) -> str:
    start, end = 0, len(token)
    while start < end and not token[start].isalpha():
        start += 1
    while end > start and not _is_letter_or_mark(token[end - 1]):
        end -= 1
    return token[start:end]


def _is_of_words(character: str) -> bool:
    return character in _APOSTROPHES or _is_letter_or_mark(character)


def _is_letter_or_mark(character: str) -> bool:
    return unicodedata.category(character)[0] in "LM"
