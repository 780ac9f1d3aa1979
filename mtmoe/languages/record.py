"""What mtmoe knows of a language."""

from __future__ import annotations

from dataclasses import dataclass

from mtmoe.languages import scripts


@dataclass(frozen=True)
class Language:
    """One language in one script: one row of every table.

    Attributes:
      code: mC4's (CLD3's) code where the language is mC4's, e.g. `iw` or `ru-Latn`;
        else the shortest code of ISO 639, followed by the script where that is not the
        usual one: `hr`, `ast`, `sr-Latn`.
      name: English name, with the script where the code has it.
      script: ISO 15924 code of the writing system; `Zyyy` where CLDR knows none.
      family: Indo-European branch, or family of any other language; "Not known" where
        CLDR groups it with no other.
      aliases: other codes that mean this language and this script.
    """

    code: str
    name: str
    script: str
    family: str
    aliases: tuple[str, ...]

    @property
    def direction(self) -> str:
        """`rtl` for scripts written right to left, else `ltr`."""
        return "rtl" if scripts.is_right_to_left(self.script) else "ltr"

    @property
    def spaces_words(self) -> bool:
        """Whether white space stands between the words of its text."""
        return scripts.spaces_words(self.script)


def normalized(tag: str) -> str:
    """Returns a tag in lower case with `-` between its parts."""
    return tag.strip().replace("_", "-").casefold()
