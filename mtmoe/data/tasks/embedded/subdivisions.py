"""Names of provinces, states and regions (ISO 3166-2) in `pycountry`'s languages."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from mtmoe.data.tasks.embedded.catalogues import read_catalogue
from mtmoe.data.tasks.embedded.packages import python_package_root

ORIGIN = "pycountry"
LICENCE = "LGPL-2.1-only"

_FOLDERS = {"iw": "he", "ku": "kmr", "no": "nb_NO", "zh": "zh_CN"}


class Subdivision(NamedTuple):
    """A part of a country.

    Attributes:
      key: `iso3166-2/KE-28`.
      text: its name in the language.
      country: ISO 3166 code of the country.
    """

    key: str
    text: str
    country: str


@cache
def subdivision_names(code: str) -> tuple[Subdivision, ...]:
    """Returns the subdivisions whose name in a language is not that of the standard.

    A name that is in two countries is left out.
    """
    folder = _root() / "locales" / _FOLDERS.get(code, code) / "LC_MESSAGES"
    path = folder / "iso3166-2.mo"
    if not path.is_file():
        return ()
    translations = read_catalogue(path)
    countries: dict[str, set[str]] = defaultdict(set)
    found = []
    for subdivision, name in _names().items():
        text = " ".join(translations.get(name, "").split())
        if text and text != name:
            country = subdivision.partition("-")[0]
            countries[text.casefold()].add(country)
            found.append(Subdivision(f"iso3166-2/{subdivision}", text, country))
    return tuple(s for s in found if len(countries[s.text.casefold()]) == 1)


@cache
def _names() -> Mapping[str, str]:
    path = _root() / "databases" / "iso3166-2.json"
    entries = json.loads(path.read_text(encoding="utf-8"))["3166-2"]
    return {entry["code"]: entry["name"] for entry in entries}


@cache
def _root() -> Path:
    return python_package_root("pycountry", "pycountry")
