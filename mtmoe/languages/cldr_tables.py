"""CLDR's tables of language tags, read when first asked for.

Unicode Technical Standard #35, part 1, sections 4.3 (likely subtags) and annex C
(aliases). The files lie in `cldr/`; its README names their version.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent / "cldr"


def read_table(file_name: str) -> Any:
    """Returns the content of one of CLDR's JSON files."""
    return json.loads((_FOLDER / file_name).read_text(encoding="utf-8"))


def language_aliases() -> Mapping[str, str]:
    """Returns tag -> tag that CLDR writes instead, both in lower case."""
    return _aliases("languageAlias")


def region(code: str) -> str:
    """Returns a region's code in upper case, for old and numeric ones today's."""
    return _aliases("territoryAlias").get(code, code).split(" ")[0].upper()


def likely_script(language: str) -> str:
    """Returns the script in which a language is usually written, "" if unknown.

    A language that CLDR writes as another (`tw` as `ak`, `prs` as `fa-AF`) has that
    one's script.

    Args:
      language: its code in lower case.
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


@functools.cache
def _likely_tags() -> Mapping[str, str]:
    tags: Mapping[str, str] = read_table("likelySubtags.json")["supplemental"][
        "likelySubtags"
    ]
    return tags


@functools.cache
def _aliases(kind: str) -> Mapping[str, str]:
    table = read_table("aliases.json")["supplemental"]["metadata"]["alias"][kind]
    return {
        old.lower(): entry["_replacement"].lower()
        for old, entry in table.items()
        if not entry["_replacement"].startswith("und")
    }
