"""Words of any script, for metrics that compare them."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence

from mtmoe.errors import CorpusError

# Scripts that do not separate words: first and last code point of their blocks.
_UNSEGMENTED = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x1950, 0x19FF),  # Tai Le, New Tai Lue, Khmer symbols
    (0x1A20, 0x1AAF),  # Tai Tham
    (0x2E80, 0x2FDF),  # radicals
    (0x3005, 0x3007),  # iteration mark, ideographic zero
    (0x3021, 0x3029),  # Suzhou numerals
    (0x3031, 0x3035),  # kana repeat marks
    (0x3038, 0x303C),
    (0x3040, 0x312F),  # Hiragana, Katakana, Bopomofo
    (0x31A0, 0x31BF),  # Bopomofo extended
    (0x31F0, 0x31FF),  # Katakana phonetic extensions
    (0x3400, 0x4DBF),  # Han
    (0x4E00, 0x9FFF),
    (0xA9E0, 0xA9FF),  # Myanmar extended B
    (0xAA60, 0xAA7F),  # Myanmar extended A
    (0xAA80, 0xAADF),  # Tai Viet
    (0xF900, 0xFAFF),  # Han, compatibility
    (0xFF66, 0xFF9F),  # half-width Katakana
    (0x1B000, 0x1B16F),  # Kana supplements
    (0x20000, 0x3FFFF),  # Han
)

# Further scripts whose words have no spaces between them, but signs between syllables.
_UNSPACED = (*_UNSEGMENTED, (0x0F00, 0x0FFF), (0x1B00, 0x1B7F), (0xA980, 0xA9DF))
_UNSPACED_LETTER = re.compile(
    "[" + "".join(f"{chr(first)}-{chr(last)}" for first, last in _UNSPACED) + "]"
)

# Lower case where it is not Unicode's default.
_LOWER = {"tr": {"I": "ı", "İ": "i"}, "az": {"I": "ı", "İ": "i"}}


class UnicodeWords:
    """Splits text into words; has the interface of `rouge_score`'s tokenisers.

    A word is a run of letters and digits with the marks on them, in lower case and
    canonical composition; in scripts that do not separate words, one letter with the
    marks on it. All else separates words. ASCII text is split as by `rouge_score`.
    """

    def __init__(self, language: str = ""):
        """Takes the language's code, for its rules of case (Turkish, Azerbaijani)."""
        self._lower = str.maketrans(_LOWER.get(language, {}))

    def tokenize(self, text: str) -> list[str]:
        """Returns the words of a text, in order."""
        lower = text.translate(self._lower).lower()
        return list(_words(unicodedata.normalize("NFC", lower)))


def _words(text: str) -> Iterator[str]:
    word = ""
    for character in text:
        kind = unicodedata.category(character)[0]
        if kind == "M" and word:
            word += character
        elif kind not in "LN":
            if word:
                yield word
            word = ""
        elif word and (_is_unsegmented(character) or _is_unsegmented(word[0])):
            yield word
            word = character
        else:
            word += character
    if word:
        yield word


def _is_unsegmented(character: str) -> bool:
    point = ord(character)
    return any(first <= point <= last for first, last in _UNSEGMENTED)


def check_spaced(targets: Sequence[Iterable[str]], metric: str, instead: str) -> None:
    """Checks that a metric of words between spaces is given texts that have spaces.

    One example alone is not checked: it is scored for an interval after all of them.
    `instead` is what counts in scripts without spaces, for the message.

    Raises:
      CorpusError: most of the text is in scripts without spaces between words.
    """
    text = "".join(itertools.chain.from_iterable(targets))
    letters = sum(map(str.isalpha, text))
    if len(targets) > 1 and 2 * len(_UNSPACED_LETTER.findall(text)) > letters > 0:
        raise CorpusError(
            f"{metric} compares words between spaces, and the targets are in a script "
            f"without spaces between words; register the task with {instead}"
        )
