"""Names out of Unicode CLDR, read through `babel`'s locale data.

Languages, territories, scripts, currencies, units, cities, time zones, calendar words:
every text is keyed by its place in CLDR, e.g. `cldr/territories/DE`.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mtmoe.data.sources.embedded.package import (
    Passage,
    SourcePackage,
    locate_python_package,
)

# The parts of a locale that hold words. Left out are those that say the same names
# again: plurals of currencies, units with a number before them.
_PARTS = (
    "languages",
    "territories",
    "scripts",
    "variants",
    "currency_names",
    "unit_display_names",
    "date_fields",
    "months",
    "days",
    "quarters",
    "eras",
    "time_zones",
    "meta_zones",
)
# Of a name's forms: no abbreviations, and of a time zone's names the general one.
_LEFT_OUT = frozenset({"short", "narrow", "abbreviated", "daylight"})
_LOCALES = {"iw": "he"}
# CLDR has a locale for 100 of the 101.
_ABSENT = frozenset({"hmn"})


def _files(root: Path, code: str) -> tuple[Path, ...]:
    if code in _ABSENT:
        return ()
    data = root / "locale-data"
    english = (data / "en.dat",)
    own = data / f"{_LOCALES.get(code, code)}.dat"
    # The English names tell which of the others were never translated.
    return english if code == "en" else (*english, own) if own.is_file() else ()


def _read(root: Path, code: str) -> Iterator[Passage]:
    if not _files(root, code):
        return
    english = {} if code == "en" else dict(_texts("en"))
    for place, text in _texts(_LOCALES.get(code, code)):
        if english.get(place) != text:
            key = "cldr/" + "/".join(place[:2])
            yield Passage(key, text, group="cldr")


def _texts(locale: str) -> Iterator[tuple[tuple[str, ...], str]]:
    data = own_data(locale)
    for part in _PARTS:
        yield from _leaves(data.get(part, {}), (part,))


def own_data(locale: str) -> Mapping[str, Any]:
    """Returns what CLDR says of a locale itself, without what it inherits.

    Not by `localedata.load`, which keeps one copy of a locale for all callers: asked
    for data without the inherited ones once, it gives no others from then on, and
    every `babel.Locale` of the process breaks.

    Args:
      locale: babel's name of it, e.g. `sw`.
    """
    from babel import localedata

    path = Path(localedata.resolve_locale_filename(locale))
    data: Mapping[str, Any] = pickle.loads(path.read_bytes())
    return data


def _leaves(node: Any, place: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(node, str):
        yield place, node
    elif isinstance(node, Mapping):
        for name, child in sorted(node.items(), key=lambda item: str(item[0])):
            if name not in _LEFT_OUT:
                yield from _leaves(child, (*place, str(name)))


PACKAGE = SourcePackage(
    name="babel",
    mend="pip install babel",
    is_optional=False,
    locate=lambda: locate_python_package("babel", "babel"),
    files=_files,
    read=_read,
)
