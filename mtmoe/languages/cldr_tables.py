"""CLDR's tables of language tags, read when first asked for.

Unicode Technical Standard #35, part 1, sections 4.3 (likely subtags) and annex C
(aliases). The files lie in `cldr/`; its README names their version.
"""

from __future__ import annotations

import functools
import json
import operator
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent / "cldr"


def read_table(file_name: str, *keys: str) -> Any:
    """Returns what one of CLDR's JSON files has under nested keys."""
    content = json.loads((_FOLDER / file_name).read_text(encoding="utf-8"))
    return functools.reduce(operator.getitem, keys, content)


def language_aliases() -> Mapping[str, str]:
    """Returns tag -> tag that CLDR writes instead, both in lower case."""
    return _aliases("languageAlias")


def shortest_code(language: str) -> str:
    """Returns the shortest code of a language as far as CLDR tells, else "".

    `hrv` is `hr`, and `acm` is itself. A member of a macrolanguage stays itself where
    CLDR writes the macrolanguage: `twi` is `tw`, not `ak`, and `prs` not `fa-AF`.
    """
    entry = _alias_table()["languageAlias"].get(language)
    if entry is None:
        known = language in _likely_tags() and language != "und"
        return language if known else ""
    if entry["_reason"] == "macrolanguage" and len(language) == 3:
        return language
    return _short_codes().get(language, "")


def is_retired(language: str) -> bool:
    """Returns whether a code is no longer one of ISO 639's: `ajp` for `apc`."""
    entry = _alias_table()["languageAlias"].get(language)
    return entry is not None and entry["_reason"] == "deprecated"


def region(code: str) -> str:
    """Returns a region's code in upper case, for old and numeric ones today's."""
    return _aliases("territoryAlias").get(code, code).split(" ")[0].upper()


def likely_script(language: str) -> str:
    """Returns the usual script of a lower-case language code, "" if unknown.

    A language that CLDR writes as another (`tw` as `ak`, `prs` as `fa-AF`) has that
    one's script.
    """
    if language in _likely_tags():
        return _likely_tags()[language].split("-")[1]
    written, *parts = language_aliases().get(language, "").split("-")
    for part in parts:
        if len(part) == 4:
            return part.title()
    return _likely_tags().get(written, "-").split("-")[1]


def script_of_region(language: str, region: str) -> str:
    """Returns the script of a language in a region where it has one of its own.

    Panjabi is in Arabic letters in Pakistan, Serbian in Latin ones in Montenegro.
    """
    tag = _likely_tags().get(f"{language}-{region}")
    return tag.split("-")[1] if tag else ""


# CLDR writes these as codes or tags of others.
_WRITTEN_AS_OTHERS = {"aka": "ak", "hbs": "sh", "prs": "prs", "swc": "swc", "twi": "tw"}


@functools.cache
def _short_codes() -> Mapping[str, str]:
    """Returns a language's code of three letters -> its code of two."""
    short = {
        old: entry["_replacement"]
        for old, entry in _alias_table()["languageAlias"].items()
        if entry["_reason"] == "overlong"
    }
    return short | _WRITTEN_AS_OTHERS


@functools.cache
def _likely_tags() -> Mapping[str, str]:
    tags: Mapping[str, str] = read_table(
        "likelySubtags.json", "supplemental", "likelySubtags"
    )
    return tags


@functools.cache
def _aliases(kind: str) -> Mapping[str, str]:
    return {
        old.lower(): entry["_replacement"].lower()
        for old, entry in _alias_table()[kind].items()
        if not entry["_replacement"].startswith("und")
    }


@functools.cache
def _alias_table() -> Mapping[str, Mapping[str, Mapping[str, str]]]:
    table: Mapping[str, Mapping[str, Mapping[str, str]]] = read_table(
        "aliases.json", "supplemental", "metadata", "alias"
    )
    return table
