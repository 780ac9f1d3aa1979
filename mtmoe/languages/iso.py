"""ISO 639's codes and English names of languages.

CLDR's tables, read in 20 ms, come first; `pycountry`, which has all of ISO 639, and
`babel`, which has CLDR's English names, are loaded only for the rest.
"""

from __future__ import annotations

import functools

from mtmoe.languages import cldr_tables, families


def shortest_code(language: str) -> str:
    """Returns the shortest ISO 639 code of a lower-case one, "" if it has none."""
    code = cldr_tables.shortest_code(language)
    if code or cldr_tables.is_retired(language):
        return code
    return language if families.is_grouped(language) else _shortest_by_iso(language)


def all_codes(code: str) -> list[str]:
    """Returns all codes of a language in ISO 639, the given shortest one first."""
    import pycountry

    found = pycountry.languages.get(alpha_2=code) or pycountry.languages.get(
        alpha_3=code
    )
    if found is None:
        return [code]
    others = [found.alpha_3, getattr(found, "bibliographic", None)]
    return list(dict.fromkeys([code, *filter(None, others)]))


def english_name(code: str) -> str:
    """Returns the English name of a language, by its shortest code."""
    import pycountry
    from babel import Locale

    name = Locale("en").languages.get(code)
    if name is None:
        found = pycountry.languages.get(alpha_3=code)
        name = found.name if found else f"{families.group_name(code)} languages"
    return str(name)


def code_named(name: str) -> str:
    """Returns the code of the language with an English name, "" if there is none."""
    import pycountry
    from babel import Locale

    for code, listed in Locale("en").languages.items():
        if listed.casefold() == name.strip().casefold():
            return code.replace("_", "-")
    found = pycountry.languages.get(name=name.strip())
    return str(found.alpha_3) if found else ""


@functools.cache
def _shortest_by_iso(language: str) -> str:
    import pycountry

    found = (
        pycountry.languages.get(alpha_2=language)
        or pycountry.languages.get(alpha_3=language)
        or pycountry.languages.get(bibliographic=language)
    )
    if found is None:
        is_group = pycountry.language_families.get(alpha_3=language) is not None
        return language if is_group else ""
    if found.scope == "S":  # undetermined, no language, several languages
        return ""
    return str(getattr(found, "alpha_2", found.alpha_3))
