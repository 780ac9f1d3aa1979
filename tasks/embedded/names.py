"""Names in other languages and facts about the world: CLDR, ISO codes, holidays.

embedded.territory_name.<code>      country name to Swahili: Germany -> Ujerumani
embedded.territory_code.<code>      and back to its ISO code
embedded.language_name, currency_name, script_name, city_name, unit_phrase .<code>
embedded.language_autonym           Yoruba -> Èdè Yorùbá, 700 languages in one task
embedded.subdivision_country, territory_currency, territory_languages,
holiday_country .<code>             facts, asked in the language, answered by codes
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Iterator, Mapping

from mtmoe.data.metrics.classification import multi_label_macro_f1
from mtmoe.data.metrics.generation import chrf_plus_plus
from mtmoe.data.metrics.qa import exact_match
from mtmoe.data.sources.pairs import TextExample
from mtmoe.data.tasks.embedded import (
    cldr_names,
    holiday_names,
    language_facts,
    subdivisions,
)
from mtmoe.data.tasks.embedded.answers import label_set
from mtmoe.data.tasks.embedded.registration import (
    EmbeddedKind,
    languages_except,
    languages_of,
    register_kinds,
)
from mtmoe.languages import language

TERRITORY_LANGUAGES = languages_except("ceb en fil haw hmn ht ny sm st su")
TERRITORY_CODE_LANGUAGES = languages_except("ceb fil haw hmn ht ny sm st su")
LANGUAGE_NAME_LANGUAGES = languages_except("ceb co en fil hmn ht ny sm su")
CURRENCY_LANGUAGES = languages_except("ceb co en haw hmn ht la mt ny sm st su yi")
SCRIPT_LANGUAGES = languages_except(
    """
    af ceb co cy en eo fil fy ga gd ha haw hmn ht id ig jv ku la lb mg ms mt nl ny
    sm sn st su tr xh yi
    """
)
CITY_LANGUAGES = languages_except(
    """
    af ceb co da en fil ha haw hmn ht ig la mg ms mt ny ro sl sm sn st su sw vi xh
    yi yo
    """
)
UNIT_LANGUAGES = languages_except(
    "co en fy haw hmn ht la lo mg mt ny sm sn st su tg xh yi"
)
SUBDIVISION_LANGUAGES = languages_of(
    """
    az be bg ca cy da de el eo es et eu fr ga hi hu id it iw ja ka ko lo lt lv nl pl
    ro ru sk sl sr sv ta th tr uk vi zh
    """
)
HOLIDAY_LANGUAGES = languages_of(
    """
    ar az ca de en es fa fi fr hy id it ja km ko ky lo mk mn ms my ne nl pt si sk sq
    sw th uk
    """
)

KeyedRows = Iterator[tuple[str, TextExample]]

NUMBERS_PER_UNIT = 3


def named(part: str, what: str) -> Callable[[str], KeyedRows]:
    """Returns the rows that ask for a name in a language, given the English one.

    Args:
      part: of CLDR, as `cldr_names.names` has it.
      what: what is named, in the words of the prompt.
    """
    place = "time_zones" if part == "cities" else part

    def rows(code: str) -> KeyedRows:
        english = cldr_names.names("en", part)
        for name, text in cldr_names.names(code, part).items():
            inputs = f"{what} to {language(code).name}: {english[name]}"
            yield f"cldr/{place}/{name}", {"inputs": inputs, "targets": text}

    return rows


def about_territory(
    what: str, fact: Callable[[str], str]
) -> Callable[[str], KeyedRows]:
    """Returns the rows that ask, in a language, for a fact about each territory.

    Args:
      what: what is asked for, in the words of the prompt.
      fact: gives the answer for an ISO 3166 code, "" where there is none.
    """

    def rows(code: str) -> KeyedRows:
        for territory, text in cldr_names.names(code, "territories").items():
            if answer := fact(territory):
                inputs = f"{what} ({language(code).name}): {text}"
                key = f"cldr/territories/{territory}"
                yield key, {"inputs": inputs, "targets": answer}

    return rows


def unit_phrases(code: str) -> KeyedRows:
    """Three quantities of each unit, in the plural form the number takes."""
    english, own = cldr_names.unit_patterns("en"), cldr_names.unit_patterns(code)
    for unit in sorted(english.keys() & own.keys()):
        generator = random.Random(unit)
        low, high = generator.randrange(2, 10), generator.randrange(10, 100)
        for number in (1, low, high)[:NUMBERS_PER_UNIT]:
            phrase = _quantity("en", english[unit], number)
            inputs = f"unit to {language(code).name}: {phrase}"
            targets = _quantity(code, own[unit], number)
            yield (
                f"cldr/unit_display_names/{unit}",
                {"inputs": inputs, "targets": targets},
            )


def autonyms(_: str) -> KeyedRows:
    """What each language calls itself."""
    for facts in language_facts.language_facts():
        if facts.autonym:
            inputs = f"name of this language in itself: {facts.name} ({facts.script})"
            yield facts.key, {"inputs": inputs, "targets": facts.autonym}


def subdivision_countries(code: str) -> KeyedRows:
    """The country of each state, province or region with one translated name."""
    for key, text, country in subdivisions.subdivision_names(code):
        inputs = f"country of this region ({language(code).name}): {text}"
        yield key, {"inputs": inputs, "targets": country}


def holiday_countries(code: str) -> KeyedRows:
    """The country of each holiday whose native name only one country has."""
    countries = holiday_names.countries_by_native_name()
    for holiday in holiday_names.holiday_names(code):
        if holiday.is_native and len(countries[holiday.text.casefold()]) == 1:
            inputs = f"country of this holiday ({language(code).name}): {holiday.text}"
            yield holiday.key, {"inputs": inputs, "targets": holiday.country}


def _territory_languages(territory: str) -> str:
    return ", ".join(cldr_names.official_languages().get(territory, ()))


def _territory_currency(territory: str) -> str:
    return cldr_names.currencies_in_use().get(territory, "")


def _quantity(code: str, patterns: Mapping[str, str], number: int) -> str:
    form = cldr_names.plural_form(code, number)
    pattern = patterns.get(form, patterns["other"])
    return pattern.replace("{0}", str(number))


_of_cldr = functools.partial(
    EmbeddedKind,
    family="names",
    labels="rule",
    origin=cldr_names.ORIGIN,
    licence=cldr_names.LICENCE,
)
_name = functools.partial(
    _of_cldr,
    metrics=(exact_match, chrf_plus_plus),
    scores=("exact_match", "chrf++"),
)
_code = functools.partial(_of_cldr, metrics=(exact_match,), scores=("exact_match",))

KINDS = (
    _name(
        "territory_name",
        TERRITORY_LANGUAGES,
        named("territories", "country name"),
    ),
    _name(
        "language_name",
        LANGUAGE_NAME_LANGUAGES,
        named("languages", "language name"),
    ),
    _name(
        "currency_name",
        CURRENCY_LANGUAGES,
        named("currency_names", "currency name"),
    ),
    _name("script_name", SCRIPT_LANGUAGES, named("scripts", "script name")),
    _name("city_name", CITY_LANGUAGES, named("cities", "city name")),
    _name("unit_phrase", UNIT_LANGUAGES, unit_phrases),
    _name(
        "language_autonym",
        ("",),
        autonyms,
        origin=language_facts.ORIGIN,
        licence=language_facts.LICENCE,
    ),
    _code(
        "territory_code",
        TERRITORY_CODE_LANGUAGES,
        about_territory("country code", lambda territory: territory),
    ),
    _code(
        "territory_currency",
        TERRITORY_CODE_LANGUAGES,
        about_territory("currency of this country", _territory_currency),
    ),
    _of_cldr(
        "territory_languages",
        TERRITORY_CODE_LANGUAGES,
        about_territory("official languages of this country", _territory_languages),
        metrics=(multi_label_macro_f1,),
        scores=("multi_label_macro_f1",),
        postprocess=label_set,
    ),
    _code(
        "subdivision_country",
        SUBDIVISION_LANGUAGES,
        subdivision_countries,
        origin=subdivisions.ORIGIN,
        licence=subdivisions.LICENCE,
    ),
    _code(
        "holiday_country",
        HOLIDAY_LANGUAGES,
        holiday_countries,
        origin=holiday_names.ORIGIN,
        licence=holiday_names.LICENCE,
    ),
)

TASKS = register_kinds(KINDS)
