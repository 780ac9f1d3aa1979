"""What the modules of suites share: names of tasks by language, and fields of records.

A task is named `<suite>.<code>`: mC4's code where mC4 has the language, else the
suite's own. Of two codes of a suite that mean one language of mC4 (`zho_Hans` and
`zho_Hant`) the first listed gets mC4's code, the other keeps its own. SeqIO allows no
hyphen in a name: `hi-Latn` becomes `hi_Latn`, and a pair of languages is `en.sw`. The
card of a pair with English names the other language.

Files are looked for in `$MTMOE_DATA/<suite>/`, in the layout they are published in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from mtmoe.languages import LANGUAGES

WHERE_CHECKED = (
    "Names of files and fields as in public code that reads this data set, which was "
    "itself not at hand."
)
"""For the card of a suite that is read from files."""

# As `mtmoe.languages.language`, without the search for similar names of its error.
_CODES = {
    name.casefold(): entry.code
    for entry in LANGUAGES
    for name in (entry.code, *entry.aliases)
}


def mc4_code(code: str) -> str:
    """Returns mC4's code of the language that any code stands for, or the code itself.

    That is what a card says: `zho_Hant` is in mC4's `zh`, `acm_Arab` in none of its.
    """
    return _CODES.get(code.replace("_", "-").casefold(), code)


class Variant(NamedTuple):
    """One of a suite's languages.

    Attributes:
      own: the suite's own code.
      name: last part of the task's name.
      language: what the card says.
    """

    own: str
    name: str
    language: str


def variants(listed: str, separator: str | None = None) -> tuple[Variant, ...]:
    """Returns the languages of a suite, named as this module's description says.

    Args:
      listed: the suite's codes. Where they are no language codes, `english=en` says
        what they stand for.
      separator: what is between the codes; white space if None.
    """
    taken: set[str] = set()
    found = []
    for entry in listed.split(separator):
        own, _, meant = entry.strip().partition("=")
        language_code = mc4_code(meant or own)
        name = own if language_code in taken else language_code
        taken.add(name)
        found.append(Variant(own, name.replace("-", "_"), language_code))
    return tuple(found)


def how_to_get(suite: str, hub: str, files: str, fields: str) -> str:
    """Returns what a user has to do, for the error about a missing file.

    Args:
      suite: folder under `$MTMOE_DATA`.
      hub: name of the data set on the Hugging Face hub.
      files: which of its files.
      fields: the fields they must have.
    """
    return (
        f"get {files} of the hub data set {hub}, unchanged, into $MTMOE_DATA/{suite}/; "
        f"each record has {fields}"
    )


def text_field(record: Mapping[str, Any], field: str) -> str:
    """Returns the text of a field, without white space around it.

    Raises:
      KeyError: no such field.
      ValueError: it holds no text.
    """
    value = record[field]
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"field {field!r} is {value!r}, not text")
    return value.strip()


def number_field(record: Mapping[str, Any], field: str) -> int:
    """Returns the whole number of a field, which may be written as text.

    Raises:
      KeyError: no such field.
      ValueError: it holds no whole number.
    """
    value = record[field]
    try:
        number = int(value)
        if isinstance(value, float) and value != number:
            raise ValueError
    except (TypeError, ValueError):
        raise ValueError(f"field {field!r} is {value!r}, not a whole number") from None
    return number
