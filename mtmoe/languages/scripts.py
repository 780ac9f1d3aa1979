"""What CLDR knows of writing systems, by their ISO 15924 codes."""

from __future__ import annotations

import functools
from collections.abc import Mapping

from mtmoe.languages.cldr_tables import read_table

UNKNOWN = "Zyyy"
"""ISO 15924's code for an undetermined script."""

# Scripts of Brahmi's family that part clauses, not words, with white space (Unicode
# Standard Annex #14: line break classes AK and BB). CLDR's mark for scripts without
# spaces leaves them out.
_UNSPACED_BESIDES_CLDR = frozenset({"Bali", "Java", "Tibt"})

# Styles of one script that have codes of their own (ISO 15924).
_STYLES = {"Aran": "Arab", "Cyrs": "Cyrl", "Latf": "Latn", "Latg": "Latn"}
_STYLES |= dict.fromkeys(("Syre", "Syrj", "Syrn"), "Syrc")

# Scripts -> mixed ones that contain them (Unicode Technical Standard #39, section 5.1),
# and the Han script, of which a tag need not say whether it is simplified.
_PARTS = {
    "Hanb": ("Hans", "Hant"),
    "Hang": ("Kore",),
    "Hani": ("Hans", "Hant", "Jpan", "Kore"),
    "Hira": ("Jpan",),
    "Hrkt": ("Jpan",),
    "Jamo": ("Kore",),
    "Kana": ("Jpan",),
}


def is_part_of(script: str, whole: str) -> bool:
    """Returns whether text in `script` is text in `whole`: `Hang` in `Kore`."""
    return script == whole or whole in _PARTS.get(script, ())


def plain_style(script: str) -> str:
    """Returns the script that a code names a style of, such as `Arab` for `Aran`."""
    return _STYLES.get(script, script)


def is_right_to_left(script: str) -> bool:
    """Returns whether CLDR has a script as written from right to left."""
    return _metadata(script).get("rtl") == "YES"


def spaces_words(script: str) -> bool:
    """Returns whether white space stands between the words of a script.

    CLDR's `lbLetters` says that lines may break between any two letters: those scripts
    do not show where words end.
    """
    unspaced = _metadata(script).get("lbLetters") == "YES"
    return not unspaced and script not in _UNSPACED_BESIDES_CLDR


def is_script(code: str) -> bool:
    """Returns whether ISO 15924 has a code of four letters, the first a capital."""
    if code in _table():
        return True
    import pycountry

    return pycountry.scripts.get(alpha_4=code) is not None


@functools.cache
def script_name(code: str) -> str:
    """Returns the English name of a script, its code if CLDR and ISO have none."""
    if code == UNKNOWN:
        return "undetermined"
    import pycountry
    from babel import Locale

    name = Locale("en").scripts.get(code)
    if name is None:
        found = pycountry.scripts.get(alpha_4=code)
        name = found.name if found else code
    return str(name)


def _metadata(script: str) -> Mapping[str, str]:
    return _table().get(script, {})


@functools.cache
def _table() -> Mapping[str, Mapping[str, str]]:
    table: Mapping[str, Mapping[str, str]] = read_table(
        "scriptMetadata.json", "scriptMetadata"
    )
    return table
