"""Names and facts of Unicode CLDR as `babel` has them, by code."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from mtmoe.data.sources.embedded import cldr
from mtmoe.data.tasks.embedded.packages import corpus_package_root

ORIGIN = "babel (Unicode CLDR)"
LICENCE = "BSD-3-Clause; data Unicode-3.0"

_LOCALES = {"iw": "he"}
# Codes of no country: pseudo-locales, groupings, unknown.
_NO_COUNTRY = frozenset({"EU", "EZ", "QO", "UN", "XA", "XB", "ZZ"})


def locale_name(code: str) -> str:
    """Returns CLDR's name of an mC4 language."""
    return _LOCALES.get(code, code)


@cache
def names(code: str, part: str) -> Mapping[str, str]:
    """Returns names in a language by CLDR code; empty where there are none.

    Names that are the same as in English are left out: in most languages that means
    they were not translated.

    Args:
      code: an mC4 code.
      part: `territories` (countries and territories alone, by ISO 3166 code),
        `languages`, `scripts`, `currency_names`, or `cities` by time zone.
    """
    own = _names(code, part)
    if code == "en":
        return own
    english = _names("en", part)
    return {
        name: text
        for name, text in own.items()
        if name in english and text != english[name]
    }


@cache
def unit_patterns(code: str) -> Mapping[str, Mapping[str, str]]:
    """Returns for each unit its long pattern, `{0} kilometres`, by plural form."""
    found = {}
    for unit, widths in _locale_data(code).get("unit_patterns", {}).items():
        forms = widths.get("long", {}) if isinstance(widths, Mapping) else {}
        patterns = {f: p for f, p in forms.items() if isinstance(p, str) and p}
        if "other" in patterns:
            found[str(unit)] = patterns
    return found


def plural_form(code: str, number: int) -> str:
    """Returns the name of the plural form a number takes in a language."""
    from babel import Locale

    return str(Locale.parse(locale_name(code)).plural_form(number))


@cache
def currencies_in_use() -> Mapping[str, str]:
    """Returns the ISO 4217 code of a territory's money, where it has just one."""
    from babel.core import get_global

    found = {}
    for territory, entries in get_global("territory_currencies").items():
        current = [c for c, _, end, is_tender in entries if end is None and is_tender]
        if len(current) == 1:
            found[territory] = current[0]
    return found


@cache
def official_languages() -> Mapping[str, tuple[str, ...]]:
    """Returns the codes of a territory's official languages, most spoken first."""
    from babel.core import get_global

    found = {}
    for territory, entries in get_global("territory_languages").items():
        official = [
            (-facts["population_percent"], code.replace("_", "-"))
            for code, facts in entries.items()
            if facts["official_status"] in ("official", "de_facto_official")
        ]
        if official:
            found[territory] = tuple(code for _, code in sorted(official))
    return found


def _names(code: str, part: str) -> dict[str, str]:
    data = _locale_data(code)
    if part == "cities":
        return _cities(code, data)
    found = {
        str(name): text
        for name, text in sorted(data.get(part, {}).items())
        if isinstance(text, str)
    }
    if part == "territories":
        found = {
            name: text
            for name, text in found.items()
            if name.isalpha() and name not in _NO_COUNTRY
        }
    return found


def _cities(code: str, data: Mapping[str, Any]) -> dict[str, str]:
    zones = data.get("time_zones", {})
    found = {
        zone: names["city"]
        for zone, names in sorted(zones.items())
        if isinstance(names.get("city"), str) and not zone.startswith("Etc/")
    }
    if code != "en":
        return found
    # English names most cities by the zone alone: America/New_York.
    from babel.core import get_global

    in_zones = {
        zone: zone.rpartition("/")[2].replace("_", " ")
        for zones in get_global("territory_zones").values()
        for zone in zones
    }
    return {**in_zones, **found}


@cache
def _locale_data(code: str) -> Mapping[str, Any]:
    if not cldr.PACKAGE.files(corpus_package_root(cldr.PACKAGE), code):
        return {}
    return cldr.own_data(locale_name(code))
