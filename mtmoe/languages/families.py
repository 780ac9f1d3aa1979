"""Families of languages: ISO 639-5's groups, as CLDR fills them.

CLDR has some 5,900 languages in the groups of ISO 639-5. A family is the branch for
Indo-European languages and the outermost group for all others. Some of ISO's outermost
groups say where a language is spoken, not its descent: there it is the group inside.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping

from mtmoe.languages.cldr_tables import read_table

NOT_KNOWN = "Not known"
"""Family of a language that CLDR puts in no group."""

_ROOT = "mul"

# Groups by place, or of disputed descent (Altaic): no families.
_NO_FAMILIES = frozenset("aus cai cau nai paa sai tut".split())
_BRANCHED = frozenset({"ine", "iir"})
"""Groups whose branches are the families of our tables."""

# ISO's names where linguists now say another, or where it names no descent.
_NAMES = {
    "aav": "Austroasiatic",
    "art": "Constructed",
    "ccs": "Kartvelian",
    "cpe": "English creole",
    "cpf": "French creole",
    "cpp": "Portuguese creole",
    "euq": "Isolate",
    "grk": "Hellenic",
    "inc": "Indo-Aryan",
    "jpx": "Japonic",
    "nic": "Niger-Congo",
    "sgn": "Sign language",
    "tai": "Kra-Dai",
    "tuw": "Tungusic",
    "xgn": "Mongolic",
}

# Creoles have no single ancestor: they are their own family inside their source's.
_CREOLES = frozenset({"cpe", "cpf", "cpp"})

# The branch of Italic that has living languages.
_ROMANCE = "roa"

# Languages of FLORES-200, Universal Dependencies and ISO 639-1 that CLDR 48 leaves out:
# code -> group.
_LEFT_OUT = {
    "acq": "sem",
    "ast": "roa",
    "av": "ccn",
    "bi": "cpe",
    "kj": "bnt",
    "min": "poz",
    "ng": "bnt",
    "pap": "cpp",
    "pi": "inc",
    "rn": "bnt",
    "rw": "bnt",
    "sh": "sla",
    "swl": "sgn",
    "tpi": "cpe",
    "tzm": "ber",
    "xcl": "ine",
}


def family_of(codes: Iterable[str]) -> str:
    """Returns the family of the first of a language's codes that CLDR has in one."""
    for code in codes:
        path = _path(code)
        if path:
            return _family(path)
    return NOT_KNOWN


def is_grouped(code: str) -> bool:
    """Returns whether a code is that of a language, or group, in one of the groups."""
    return code in _parents() and code != "und"  # CLDR has it there too


def _path(code: str) -> list[str]:
    """Returns the groups a language is in, the innermost first, without the root."""
    path = []
    while (code := _parents().get(code, _ROOT)) != _ROOT:
        path.append(code)
    return path


def _family(path: list[str]) -> str:
    for group in path:
        if group in _CREOLES or group == _ROMANCE:
            return group_name(group)
    outermost = [g for g in reversed(path) if g not in _NO_FAMILIES]
    if not outermost:
        return NOT_KNOWN
    if outermost[0] in _BRANCHED:
        branches = [g for g in outermost if g not in _BRANCHED]
        return group_name(branches[0] if branches else "ine")
    return group_name(outermost[0])


@functools.cache
def group_name(group: str) -> str:
    """Returns the English name of a group of ISO 639-5: `Slavic` for `sla`."""
    if group in _NAMES:
        return _NAMES[group]
    import pycountry

    found = pycountry.language_families.get(alpha_3=group)
    name: str = found.name if found else group
    return name.removesuffix(" languages").removesuffix(" (family)")


@functools.cache
def _parents() -> Mapping[str, str]:
    """Returns language or group -> the group it is in."""
    groups = read_table("languageGroups.json", "supplemental", "languageGroups")
    parents = dict(_LEFT_OUT)
    for group, members in groups.items():
        for member in members.split():
            parents.setdefault(member, group)
    return parents
