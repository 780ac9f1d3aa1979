"""Facts about 1,600 languages out of Google Fonts' `gflanguages`."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

from mtmoe.data.sources.embedded import gflanguages
from mtmoe.data.tasks.embedded.packages import corpus_package_root

ORIGIN = "gflanguages"
LICENCE = "Apache-2.0"

_FIELD = re.compile(
    r'^(language|script|name|preferred_name|autonym|region): ("(?:[^"\\]|\\.)*")$', re.M
)


class LanguageFacts(NamedTuple):
    """A language in one script.

    Attributes:
      key: as the embedded corpus calls the language, `cldr/languages/yo`.
      name: English name; of a script variant with the script, `Serbian, Cyrillic`.
      autonym: its name in itself; "" if not known.
      script: ISO 15924 code.
      regions: ISO 3166 codes of where it is spoken.
    """

    key: str
    name: str
    autonym: str
    script: str
    regions: tuple[str, ...]


@cache
def language_facts() -> tuple[LanguageFacts, ...]:
    """Returns what is known of each language, in order of code."""
    root = corpus_package_root(gflanguages.PACKAGE)
    found = []
    for path in sorted((root / "data" / "languages").glob("*.textproto")):
        fields: dict[str, list[str]] = {}
        for name, literal in _FIELD.findall(path.read_text(encoding="utf-8")):
            fields.setdefault(name, []).append(ast.literal_eval(literal))
        found.append(
            LanguageFacts(
                key=f"cldr/languages/{fields['language'][0]}",
                name=fields.get("preferred_name", fields["name"])[0],
                autonym=fields.get("autonym", [""])[0],
                script=fields["script"][0],
                regions=tuple(fields.get("region", ())),
            )
        )
    return tuple(found)


@cache
def facts_by_language() -> Mapping[str, tuple[LanguageFacts, ...]]:
    """Returns the same by key: a language in all its scripts, shortest name first."""
    found: dict[str, list[LanguageFacts]] = {}
    for facts in language_facts():
        found.setdefault(facts.key, []).append(facts)
    return {
        key: tuple(sorted(entries, key=lambda facts: len(facts.name)))
        for key, entries in found.items()
    }
