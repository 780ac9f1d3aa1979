"""Translation: the Declaration, interface messages, spoken answers, holidays.

embedded.translate_udhr_to_en.<code>        paragraphs into English
embedded.translate_udhr_from_en.<code>      and out of it
embedded.translate_udhr.<code>              into four other languages
embedded.translate_interface_from_en.<code> Django's messages
embedded.translate_interface_to_en.<code>
embedded.translate_response_to_en.<code>    answers of Home Assistant
embedded.translate_holiday_to_en.<code>     names of public holidays
"""

from __future__ import annotations

import functools
import random
from collections.abc import Iterator
from typing import Any

from mtmoe.data.metrics.generation import bleu, bleu_char, chrf_plus_plus
from mtmoe.data.metrics.qa import exact_match
from mtmoe.data.sources.pairs import TextExample
from mtmoe.data.tasks.embedded import (
    commands,
    declaration,
    holiday_names,
    interface,
)
from mtmoe.data.tasks.embedded.declaration import (
    comparable_paragraphs,
    text_by_place,
)
from mtmoe.data.tasks.embedded.registration import (
    EmbeddedKind,
    languages_except,
    languages_of,
    register_kinds,
)
from mtmoe.languages import language

KeyedRows = Iterator[tuple[str, TextExample]]

TARGETS_PER_PARAGRAPH = 4

UDHR_LANGUAGES = languages_except("en fy sd")
"""The languages whose Declaration is translated from and into English."""

DJANGO_LANGUAGES = languages_except(
    """
    ceb co en fil fy gu ha haw hmn ht jv ku la lo mg mi mt ny ps sd si sm sn so st
    su xh yi yo zu
    """
)
RESPONSE_LANGUAGES = languages_of(
    """
    af ar bg bn ca cs cy da de el es eu fa fi fr ga gl hi hy is it iw ko lb lt lv ml
    ne nl no pa pl pt ro ru sk sl sr sv ta th uk vi zh
    """
)
HOLIDAY_LANGUAGES = languages_of(
    """
    ar az bn ca de es fa fi fil fr gu hi hy id it ja km kn ko ky lo lv mk ml mn mr
    ms my ne nl pa pt ro ru si sk sq sr sv sw ta te th tr uk ur zh
    """
)


def translation(source: str, target: str, text: str, translated: str) -> TextExample:
    """Returns the example that asks for a translation.

    Args:
      source: mC4 code of the text's language.
      target: mC4 code of the translation's.
      text: what to translate.
      translated: its translation.
    """
    names = language(source).name, language(target).name
    inputs = f"translate {names[0]} to {names[1]}: {text}"
    return {"inputs": inputs, "targets": translated}


def udhr_pairs(code: str) -> Iterator[tuple[str, str, str]]:
    """Yields (key, text, English text) of each comparable paragraph of a language."""
    english = text_by_place("en")
    for key, number, text in comparable_paragraphs(code):
        yield key, text, english[key, number]


def udhr_to_en(code: str) -> KeyedRows:
    """Paragraphs of the Declaration in a language, into English."""
    for place, text, english in udhr_pairs(code):
        yield place, translation(code, "en", text, english)


def udhr_from_en(code: str) -> KeyedRows:
    """The same paragraphs out of English."""
    for place, text, english in udhr_pairs(code):
        yield place, translation("en", code, english, text)


def udhr_direct(code: str) -> KeyedRows:
    """Paragraphs into four other languages each, never by way of English."""
    others = [other for other in UDHR_LANGUAGES if other != code]
    for key, number, text in comparable_paragraphs(code):
        generator = random.Random(f"{code}/{key}/{number}")
        targets = generator.sample(others, TARGETS_PER_PARAGRAPH)
        for other in targets:
            translated = text_by_place(other).get((key, number))
            if translated is not None:
                yield key, translation(code, other, text, translated)


def interface_from_en(code: str) -> KeyedRows:
    """Django's messages, out of English."""
    for message in interface.django_messages(code):
        yield message.key, translation("en", code, message.english, message.text)


def interface_to_en(code: str) -> KeyedRows:
    """Django's messages, into English."""
    for message in interface.django_messages(code):
        yield message.key, translation(code, "en", message.text, message.english)


def response_to_en(code: str) -> KeyedRows:
    """Answers of Home Assistant, into English."""
    english = interface.responses("en")
    for key, text in interface.responses(code).items():
        if key in english and text != english[key]:
            yield key, translation(code, "en", text, english[key])


def holiday_to_en(code: str) -> KeyedRows:
    """Names of public holidays, into English."""
    for holiday in holiday_names.holiday_names(code):
        if holiday.text != holiday.english:
            yield holiday.key, translation(code, "en", holiday.text, holiday.english)


_translation = functools.partial(EmbeddedKind, family="translation", labels="gold")
_of_udhr = functools.partial(
    _translation,
    metrics=(chrf_plus_plus, bleu),
    scores=("chrf++", "bleu"),
    origin=declaration.ORIGIN,
    licence=declaration.LICENCE,
    is_prose=True,
)
_of_django = functools.partial(
    _translation,
    metrics=(chrf_plus_plus, bleu),
    scores=("chrf++", "bleu"),
    origin=interface.DJANGO_ORIGIN,
    licence=interface.DJANGO_LICENCE,
    is_prose=True,
)
_of_phrases = functools.partial(
    _translation,
    metrics=(chrf_plus_plus, exact_match),
    scores=("chrf++", "exact_match"),
)

# BLEU of words says nothing where words are not spaced, and the direct translations of
# one task are into languages of both kinds.
_BY_CHARACTER: dict[str, tuple[Any, ...]] = {
    "metrics": (chrf_plus_plus, bleu_char),
    "scores": ("chrf++", "bleu_char"),
}
_UNSPACED = {f"unspaced_{field}": value for field, value in _BY_CHARACTER.items()}

KINDS = (
    _of_udhr("translate_udhr_to_en", UDHR_LANGUAGES, udhr_to_en),
    _of_udhr("translate_udhr_from_en", UDHR_LANGUAGES, udhr_from_en, **_UNSPACED),
    _of_udhr("translate_udhr", UDHR_LANGUAGES, udhr_direct, **_BY_CHARACTER),
    _of_django(
        "translate_interface_from_en",
        DJANGO_LANGUAGES,
        interface_from_en,
        **_UNSPACED,
    ),
    _of_django("translate_interface_to_en", DJANGO_LANGUAGES, interface_to_en),
    _of_phrases(
        "translate_response_to_en",
        RESPONSE_LANGUAGES,
        response_to_en,
        origin=commands.ORIGIN,
        licence=commands.LICENCE,
    ),
    _of_phrases(
        "translate_holiday_to_en",
        HOLIDAY_LANGUAGES,
        holiday_to_en,
        origin=holiday_names.ORIGIN,
        licence=holiday_names.LICENCE,
    ),
)

TASKS = register_kinds(KINDS)
