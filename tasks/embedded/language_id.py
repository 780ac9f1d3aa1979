"""Which language or script a text is in, and where languages are spoken.

    embedded.language_id_paragraph.<code>   a paragraph of the Declaration -> Swahili
    embedded.language_id_excerpt.<code>     50 characters of one
    embedded.language_id_interface.<code>   a message of Django
    embedded.language_id_words.<code>       eight function words
    embedded.script_of_text.<code>          50 characters -> Cyrillic
    embedded.language_script, language_regions   facts about 1,600 languages

A task of one language has one right answer: what counts is how the tasks of a kind do
together.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Iterator

from t5.evaluation import metrics as t5_metrics

from mtmoe.data.metrics.classification import macro_f1, multi_label_macro_f1
from mtmoe.data.sources.pairs import TextExample
from mtmoe.data.tasks.embedded import (
    cldr_names,
    declaration,
    function_words,
    interface,
    language_facts,
)
from mtmoe.data.tasks.embedded.answers import label_set
from mtmoe.data.tasks.embedded.registration import (
    EmbeddedKind,
    languages_except,
    register_kinds,
)
from mtmoe.languages import language

UDHR_LANGUAGES = languages_except("fy sd")
DJANGO_LANGUAGES = languages_except(
    """
    ceb co en fil fy gu ha haw hmn ht jv ku la lo mg mi mt ny ps sd si sm sn so st
    su xh yi yo zu
    """
)
WORD_LANGUAGES = languages_except(
    """
    am az be ceb co cy fy ga gd haw hmn ht ig is jv ka kk km kn ky lb lo mg mi mk ml
    mn mt my ne ny pa ps sd si sm sn sq sr su ta te tg uz xh yi
    """
)

KeyedRows = Iterator[tuple[str, TextExample]]

EXCERPT_CHARACTERS = 50
EXCERPTS_PER_PARAGRAPH = 2
WORDS_PER_ROW = 8
ROWS_PER_WORD = 2

_QUESTION = "language of this text: "


def of_paragraphs(code: str) -> KeyedRows:
    """Whole paragraphs of the Declaration."""
    name = language(code).name
    for paragraph in declaration.paragraphs(code):
        yield paragraph.key, {"inputs": _QUESTION + paragraph.text, "targets": name}


def of_excerpts(code: str) -> KeyedRows:
    """Two cuts of 50 characters out of each paragraph."""
    name = language(code).name
    for key, text in _excerpts(code):
        yield key, {"inputs": _QUESTION + text, "targets": name}


def of_messages(code: str) -> KeyedRows:
    """Interface messages of Django."""
    name = language(code).name
    for message in interface.django_messages(code):
        yield message.key, {"inputs": _QUESTION + message.text, "targets": name}


def of_function_words(code: str) -> KeyedRows:
    """Eight words at a time, those of a split among themselves."""
    name = language(code).name
    for words in function_words.words_by_split(code).values():
        for key, word in words:
            others = [other for _, other in words if other != word]
            for number in range(ROWS_PER_WORD):
                generator = random.Random(f"{code}/{key}/{number}")
                drawn = generator.sample(others, min(WORDS_PER_ROW - 1, len(others)))
                text = " ".join(generator.sample([word, *drawn], len(drawn) + 1))
                inputs = f"language of these words: {text}"
                yield key, {"inputs": inputs, "targets": name}


def scripts(code: str) -> KeyedRows:
    """The script of the same cuts, by its English name."""
    name = cldr_names.names("en", "scripts")[language(code).script]
    for key, text in _excerpts(code):
        yield key, {"inputs": f"script of this text: {text}", "targets": name}


def language_scripts(_: str) -> KeyedRows:
    """The script of a language that is known in one script alone."""
    names = cldr_names.names("en", "scripts")
    for key, (facts, *others) in language_facts.facts_by_language().items():
        if not others and facts.script in names:
            inputs = f"script of this language: {facts.name}"
            yield key, {"inputs": inputs, "targets": names[facts.script]}


def language_regions(_: str) -> KeyedRows:
    """ISO codes of the countries where a language is spoken, in whatever script."""
    for key, entries in language_facts.facts_by_language().items():
        regions = {region for facts in entries for region in facts.regions}
        if regions:
            inputs = f"countries of this language: {entries[0].name}"
            yield key, {"inputs": inputs, "targets": ", ".join(sorted(regions))}


def _excerpts(code: str) -> Iterator[tuple[str, str]]:
    for key, number, text in declaration.paragraphs(code):
        generator = random.Random(f"{code}/{key}/{number}")
        last = max(0, len(text) - EXCERPT_CHARACTERS)
        for _ in range(EXCERPTS_PER_PARAGRAPH if last else 1):
            start = generator.randrange(last + 1)
            yield key, text[start : start + EXCERPT_CHARACTERS].strip()


_of_udhr = functools.partial(
    EmbeddedKind,
    family="language_id",
    metrics=(t5_metrics.accuracy,),
    scores=("accuracy",),
    labels="gold",
    origin=declaration.ORIGIN,
    licence=declaration.LICENCE,
    is_prose=True,
    note="one answer a language: average over the languages' tasks",
)
_of_facts = functools.partial(
    EmbeddedKind,
    languages=("",),
    family="language_id",
    labels="rule",
    origin=language_facts.ORIGIN,
    licence=language_facts.LICENCE,
)

KINDS = (
    _of_udhr("language_id_paragraph", UDHR_LANGUAGES, of_paragraphs),
    _of_udhr("language_id_excerpt", UDHR_LANGUAGES, of_excerpts),
    _of_udhr(
        "language_id_interface",
        DJANGO_LANGUAGES,
        of_messages,
        origin=interface.DJANGO_ORIGIN,
        licence=interface.DJANGO_LICENCE,
    ),
    _of_udhr(
        "language_id_words",
        WORD_LANGUAGES,
        of_function_words,
        labels="rule",
        origin=function_words.ORIGIN,
        licence=function_words.LICENCE,
        is_prose=False,
    ),
    _of_udhr("script_of_text", UDHR_LANGUAGES, scripts, labels="rule"),
    _of_facts(
        "language_script",
        rows=language_scripts,
        metrics=(t5_metrics.accuracy, macro_f1),
        scores=("accuracy", "macro_f1"),
    ),
    _of_facts(
        "language_regions",
        rows=language_regions,
        metrics=(multi_label_macro_f1,),
        scores=("multi_label_macro_f1",),
        postprocess=label_set,
    ),
)

TASKS = register_kinds(KINDS)
