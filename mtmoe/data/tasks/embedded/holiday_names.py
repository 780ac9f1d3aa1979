"""Names of public holidays in the languages of `holidays`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from mtmoe.data.tasks.embedded.catalogues import read_catalogue
from mtmoe.data.tasks.embedded.packages import python_package_root

ORIGIN = "holidays"
LICENCE = "MIT"

_ENGLISH = "en_US"
# Folders not called by mC4's code or by code and country.
_FOLDERS = {"iw": ("he",), "zh": ("zh_CN",)}


class Holiday(NamedTuple):
    """A holiday of one country in one language.

    Attributes:
      key: `holiday names/` and the English name, the same in every language.
      country: ISO 3166 code.
      english: English name.
      text: name in the language.
      is_native: whether the language is the one the country's list is written in.
    """

    key: str
    country: str
    english: str
    text: str
    is_native: bool


@cache
def holiday_names(code: str) -> tuple[Holiday, ...]:
    """Returns the holidays that have a name in a language, by country."""
    found: dict[tuple[str, str], Holiday] = {}
    for folder in _folders(code):
        for path in sorted(folder.glob("LC_MESSAGES/*.mo")):
            country = path.stem
            if len(country) == 2:  # others are stock exchanges
                for holiday in _of_country(country, folder.name):
                    found.setdefault((country, holiday.text), holiday)
    return tuple(found.values())


@cache
def countries_by_native_name() -> Mapping[str, frozenset[str]]:
    """Returns for each holiday's native name, caseless, the countries that have it."""
    found: dict[str, set[str]] = defaultdict(set)
    for folder in sorted(_root().iterdir()):
        for path in folder.glob("LC_MESSAGES/??.mo"):
            for holiday in _of_country(path.stem, folder.name):
                if holiday.is_native:
                    found[holiday.text.casefold()].add(path.stem)
    return {name: frozenset(countries) for name, countries in found.items()}


def _of_country(country: str, folder: str) -> Iterator[Holiday]:
    english = _catalogue(country, _ENGLISH)
    own = _catalogue(country, folder)
    names = _native_names(country)
    for name in names:
        in_english = english.get(name) or name
        text = own.get(name) or name
        # A catalogue without translations is that of the list's own language.
        is_native = not own
        if "%s" not in name and any(map(str.isalpha, text)):
            key = f"holiday names/{in_english}"
            yield Holiday(key, country, in_english, text, is_native)


@cache
def _native_names(country: str) -> tuple[str, ...]:
    """The names as the package's own list has them: what its catalogues translate."""
    names: dict[str, None] = {}
    for folder in sorted(_root().iterdir()):
        names.update(dict.fromkeys(_catalogue(country, folder.name)))
    return tuple(names)


@cache
def _catalogue(country: str, folder: str) -> Mapping[str, str]:
    path = _root() / folder / "LC_MESSAGES" / f"{country}.mo"
    return read_catalogue(path) if path.is_file() else {}


def _folders(code: str) -> tuple[Path, ...]:
    names = _FOLDERS.get(code)
    if names is not None:
        return tuple(_root() / name for name in names)
    own = [_root() / code] if (_root() / code).is_dir() else []
    return (*own, *sorted(_root().glob(f"{code}_*")))


@cache
def _root() -> Path:
    return python_package_root("holidays", "holidays") / "locale"
