"""Reads language tags by their parts: language, script, region, variants.

BCP 47 (RFC 5646) is the grammar, `_` is `-`, and case does not matter, which takes in
FLORES (`cmn_Hani`), XLM (`zh_Hans`) and gflanguages styles. Languages are those of ISO
639-1, -2, -3 and -5 (`pycountry`); aliases and usual scripts are CLDR's, English names
CLDR's (`babel`) or else ISO's. All of them load when a tag first needs them, in 0.1 s.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mtmoe.languages import cldr_tables, families, scripts
from mtmoe.languages.mc4 import BY_NAME
from mtmoe.languages.record import Language, normalized

# The registry's extended languages stand behind these (RFC 5646, section 2.2.2).
_EXTENDED = frozenset("ar kok lv ms sgn sw uz zh".split())

_TAG = re.compile(
    r"""(?P<language>[a-z]{2,3})
        (?:-(?P<extended>[a-z]{3}))?
        (?:-(?P<script>[a-z]{4}))?
        (?:-(?P<region>[a-z]{2}|[0-9]{3}))?
        (?P<variants>(?:-(?:[a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*)
        (?P<extensions>(?:-[a-z0-9](?:-[a-z0-9]{2,8})+)*(?:-x(?:-[a-z0-9]{1,8})+)?)""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class _Parts:
    """A tag's parts that matter for its row; script and region may be empty."""

    language: str
    script: str
    region: str


def read_tag(tag: str) -> Language | None:
    """Returns the language and script a tag stands for, None if it is no known one.

    Regions, variants and extensions must exist and may decide the script (`pa-PK` is in
    Arabic letters), but they make no rows of their own.
    """
    parts = _parts(normalized(tag))
    if parts is None:
        return None
    listed = BY_NAME.get(parts.language)
    code = listed.code if listed else _code(parts.language)
    if code is None:
        return None
    script = parts.script
    if parts.region and not script:
        script = cldr_tables.script_of_region(code, parts.region)
    return _beside_mc4(listed, script) if listed else _row(code, script)


def language_named(name: str) -> str:
    """Returns the code of the language with an English name, "" if there is none."""
    import pycountry
    from babel import Locale

    for code, listed in Locale("en").languages.items():
        if listed.casefold() == name.strip().casefold():
            return normalized(code)
    found = pycountry.languages.get(name=name.strip())
    return str(found.alpha_3) if found else ""


def _parts(tag: str) -> _Parts | None:
    """Returns the parts of a well-formed tag, old names of languages replaced."""
    aliases = cldr_tables.language_aliases()
    if "-" in tag:  # names from before the grammar, such as zh-min-nan
        tag = aliases.get(tag, tag)
    match = _TAG.fullmatch(tag)
    if match is None or (match["extended"] and match["language"] not in _EXTENDED):
        return None
    parts = _Parts(
        match["extended"] or match["language"],
        scripts.plain_style((match["script"] or "").title()),
        cldr_tables.region(match["region"] or ""),
    )
    if not (
        (not parts.script or scripts.is_script(parts.script))
        and (not parts.region or _is_region(parts.region))
        and all(_is_variant(part) for part in match["variants"].split("-") if part)
    ):
        return None
    if parts.language in BY_NAME or _code(parts.language) is not None:
        return parts
    written = _TAG.fullmatch(aliases.get(parts.language, ""))
    if written is None:
        return None
    return _Parts(
        written["language"],
        parts.script or (written["script"] or "").title(),
        parts.region or (written["region"] or "").upper(),
    )


def _code(language: str) -> str | None:
    """Returns the shortest code of a language of ISO 639, None if it has none there.

    A code that ISO 639-3 has stays itself where CLDR writes another: `twi` is `tw`, not
    `ak`, and `prs` not `fa-AF`, since data sets have files of both.
    """
    import pycountry

    found = (
        pycountry.languages.get(alpha_2=language)
        or pycountry.languages.get(alpha_3=language)
        or pycountry.languages.get(bibliographic=language)
    )
    if found is not None:
        if found.scope == "S":  # undetermined, no language, several languages
            return None
        return str(getattr(found, "alpha_2", found.alpha_3))
    if pycountry.language_families.get(alpha_3=language) is not None:
        return language
    return None


def _is_region(region: str) -> bool:
    from babel import Locale

    return region != "ZZ" and region in Locale("en").territories


def _is_variant(variant: str) -> bool:
    from babel import Locale

    return variant.upper() in Locale("en").variants


def _beside_mc4(listed: Language, script: str) -> Language:
    """Returns mC4's row of a language, or the row of another script beside it."""
    if not script or scripts.is_part_of(script, listed.script):
        return listed
    code = f"{listed.code}-{script}"
    if normalized(code) in BY_NAME:
        return BY_NAME[normalized(code)]
    bare = [alias for alias in listed.aliases if "-" not in alias]
    return Language(
        code,
        f"{listed.name} ({scripts.script_name(script)})",
        script,
        listed.family,
        tuple(f"{alias}-{script}" for alias in bare),
    )


def _row(code: str, script: str) -> Language:
    """Returns the row of a language that mC4 lacks."""
    usual = cldr_tables.likely_script(code)
    if usual and (not script or scripts.is_part_of(script, usual)):
        script = usual
    own_script = bool(script) and script != usual
    names = _codes(code)
    with_script = [f"{name}-{script}" for name in names] if script else []
    tag = f"{code}-{script}" if own_script else code
    aliases = dict.fromkeys(with_script if own_script else [*names, *with_script])
    aliases.pop(tag, None)
    name = _english_name(code)
    return Language(
        tag,
        f"{name} ({scripts.script_name(script)})" if own_script else name,
        script or scripts.UNKNOWN,
        families.family_of([*names, *_written_as(code)]),
        tuple(aliases),
    )


def _codes(code: str) -> list[str]:
    """Returns all codes of a language in ISO 639, the given one first."""
    import pycountry

    found = pycountry.languages.get(alpha_2=code) or pycountry.languages.get(
        alpha_3=code
    )
    if found is None:
        return [code]
    others = [found.alpha_3, getattr(found, "bibliographic", None)]
    return list(dict.fromkeys([code, *filter(None, others)]))


def _written_as(code: str) -> list[str]:
    """Returns the language as which CLDR writes another, mostly its macrolanguage."""
    written = cldr_tables.language_aliases().get(code)
    return [written.split("-")[0]] if written else []


def _english_name(code: str) -> str:
    import pycountry
    from babel import Locale

    name = Locale("en").languages.get(code)
    if name:
        return str(name)
    found = pycountry.languages.get(alpha_3=code)
    if found is not None:
        return str(found.name)
    return f"{families.group_name(code)} languages"
