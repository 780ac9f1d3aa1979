"""Rows about single words: lemmas (`simplemma`) and hyphenation (`pyphen`).

The words are those of the embedded corpus: they are in use, which few of the millions
of forms in a dictionary are.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache

from mtmoe.data.embedded.corpus import SPLITS, load_corpus
from mtmoe.data.sources.pairs import TextExample
from mtmoe.languages import language

Row = tuple[str, TextExample]

LEMMA_ORIGIN = "simplemma, words of the embedded corpus"
LEMMA_LICENCE = "MIT; dictionaries as their sources"
HYPHEN_ORIGIN = "pyphen, words of the embedded corpus"
HYPHEN_LICENCE = "GPL-2.0, LGPL-2.1 or MPL-1.1"

SHORTEST_WORD = 3

# Dictionaries not called by mC4's code. That of Serbian mixes it with Croatian and
# Bosnian; only words in mC4's script, Cyrillic, are looked up.
_DICTIONARIES = {"fil": "tl", "iw": "he", "no": "nb", "sr": "hbs"}
_PATTERNS = {"no": "nb_NO", "pt": "pt_PT", "en": "en_US", "de": "de_DE"}
_APOSTROPHES = frozenset("'\u2019")


@lru_cache(maxsize=2)
def corpus_words(code: str) -> tuple[str, ...]:
    """Returns the words of a language's documents in order, each once.

    Words of letters, marks and inner apostrophes, three characters or longer. Of words
    that differ in case alone the first is kept, in lower case if that is how it ever
    occurs.

    Raises:
      CorpusError: a package of the corpus is missing or damaged.
    """
    found: dict[str, str] = {}
    for split in SPLITS:
        for document in load_corpus().documents(code, split):
            for token in document.split():
                word = _stripped(token)
                if len(word) < SHORTEST_WORD or not all(map(_is_of_words, word)):
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
    """Yields whether one word is the dictionary form of another.

    As many are as are not. A wrong lemma is that of the next word with another, which
    is near in the text, or in a list of words near in meaning.
    """
    name = language(code).name
    pairs = [(w, lemma) for w, lemma in _lemmas(code).items() if w.lower() != lemma]
    for number, (word, lemma) in enumerate(pairs):
        following = (*pairs[number + 1 :], *pairs[:number])
        wrong = next((other for _, other in following if other != lemma), None)
        is_right = number % 2 == 0
        shown = lemma if is_right else wrong
        if shown is not None:
            question = f'is "{shown}" the dictionary form of this {name} word: {word}'
            answer = "yes" if is_right else "no"
            yield f"word/{word}", {"inputs": question, "targets": answer}


def hyphenation_rows(code: str) -> Iterator[Row]:
    """Yields each word that can be hyphenated, with hyphens at all such places."""
    patterns = _hyphenation_patterns(code)
    name = language(code).name
    for word in corpus_words(code):
        hyphenated = patterns.inserted(word)
        if hyphenated != word:
            question = f"hyphenate this {name} word: {word}"
            yield f"word/{word}", {"inputs": question, "targets": hyphenated}


@lru_cache(maxsize=2)
def _lemmas(code: str) -> Mapping[str, str]:
    """The dictionary form of each word of the corpus that the dictionary has."""
    from simplemma.strategies.dictionaries import stream_dictionary_factory

    name = _DICTIONARIES.get(code, code)
    factory = stream_dictionary_factory.StreamDictionaryFactory(cache_max_size=1)
    dictionary = factory.get_dictionary(name)
    found = {}
    for word in corpus_words(code):
        # Words at the beginning of a sentence have a capital that is not their own.
        for form in (word.lower(), word):
            lemma = dictionary.get(form)
            if lemma is not None and all(map(_is_of_words, lemma)):
                found[form] = lemma
                break
    return found


@cache
def _hyphenation_patterns(code: str) -> "Pyphen":
    from pyphen import LANGUAGES, Pyphen

    name = _PATTERNS.get(code, code)
    if name not in LANGUAGES:
        (name,) = (n for n in LANGUAGES if n.split("_")[0] == code and "Latn" not in n)
    return Pyphen(lang=name)


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
