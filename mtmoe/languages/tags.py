"""Reads language tags by their parts: language, script, region, variants.

BCP 47 (RFC 5646) is the grammar, `_` is `-`, and case does not matter, which includes
the styles of FLORES (`cmn_Hani`), XLM (`zh_Hans`) and gflanguages. Languages are those
of ISO 639-1, -2, -3 and -5; aliases and usual scripts are CLDR's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mtmoe.languages import cldr_tables, iso, scripts
from mtmoe.languages.mc4 import BY_NAME
from mtmoe.languages.record import normalized

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
class Tag:
    """The language and script of a tag.

    Attributes:
      language: mC4's code, else the shortest of ISO 639.
      script: ISO 15924 code, the usual one if the tag says none; "" if not known.
      is_usual: whether the language is usually written in it.
    """

    language: str
    script: str
    is_usual: bool

    @property
    def code(self) -> str:
        """The row's code: the language's, with the script where it is not usual."""
        code = self.language if self.is_usual else f"{self.language}-{self.script}"
        listed = BY_NAME.get(normalized(code))
        return listed.code if listed else code


@dataclass(frozen=True)
class _Parts:
    """A tag's parts that matter for its row; script and region may be empty."""

    language: str
    script: str
    region: str


def read_tag(tag: str) -> Tag | None:
    """Returns the language and script a tag stands for, None if it is no known one.

    Regions, variants and extensions must exist and may decide the script (`pa-PK` is in
    Arabic letters), but they make no rows of their own.
    """
    parts = _parts(normalized(tag))
    if parts is None:
        return None
    listed = BY_NAME.get(parts.language)
    code = listed.code if listed else iso.shortest_code(parts.language)
    if not code:
        return None
    script = parts.script
    if parts.region and not script:
        script = cldr_tables.script_of_region(code, parts.region)
    usual = listed.script if listed else cldr_tables.likely_script(code)
    is_usual = not script or (bool(usual) and scripts.is_part_of(script, usual))
    return Tag(code, usual if is_usual else script, is_usual)


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
    if parts.language in BY_NAME or iso.shortest_code(parts.language):
        return parts
    written = _TAG.fullmatch(aliases.get(parts.language, ""))
    if written is None:
        return None
    return _Parts(
        written["language"],
        parts.script or (written["script"] or "").title(),
        parts.region or (written["region"] or "").upper(),
    )


def _is_region(region: str) -> bool:
    from babel import Locale

    return region != "ZZ" and region in Locale("en").territories


def _is_variant(variant: str) -> bool:
    from babel import Locale

    return variant.upper() in Locale("en").variants
