"""Makes the rows of languages and scripts that mC4's table lacks."""

from __future__ import annotations

from mtmoe.languages import cldr_tables, families, iso, scripts
from mtmoe.languages.mc4 import BY_NAME
from mtmoe.languages.record import Language
from mtmoe.languages.tags import Tag


def row_of(tag: Tag) -> Language:
    """Returns the row of a tag that is none of mC4's.

    Names are CLDR's English ones or else ISO's, families CLDR's.
    """
    listed = BY_NAME.get(tag.language)
    if listed:
        names = [alias for alias in (listed.code, *listed.aliases) if "-" not in alias]
        name, family = listed.name, listed.family
    else:
        names = iso.all_codes(tag.language)
        name = iso.english_name(tag.language)
        family = families.family_of([*names, *_written_as(tag.language)])
    aliases = [f"{other}-{tag.script}" for other in names] if tag.script else []
    if tag.is_usual:
        aliases = [*names, *aliases]
    else:
        name = f"{name} ({scripts.script_name(tag.script)})"
    others = dict.fromkeys(aliases)
    others.pop(tag.code, None)
    return Language(
        tag.code, name, tag.script or scripts.UNKNOWN, family, tuple(others)
    )


def _written_as(code: str) -> list[str]:
    """Returns the language as which CLDR writes another, mostly its macrolanguage."""
    written = cldr_tables.language_aliases().get(code)
    return [written.split("-")[0]] if written else []
