"""Sentences with `<extra_id_N>` blanks to model inputs, and predicted spans back again.

A blank becomes one sentinel token (number N counts down from the last token of the
vocabulary, as in span corruption). The text around it is encoded as running text, so a
blank may stand anywhere, inside a word or in a script without spaces.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import seqio

from mtmoe.data.evaluation.text_bytes import token_kinds, tokens_and_surfaces
from mtmoe.data.vocabulary.configured import num_sentinels
from mtmoe.errors import MtmoeError

BLANK = re.compile(r"<extra_id_(\d+)>")
_MARK = "\ue000"  # stands for a blank while the text around it is encoded
_ANCHOR = "a"  # a token before a span, so that the span's first space is decoded


def blank_tokens(sentence: str, vocabulary: seqio.Vocabulary) -> list[int]:
    """Encodes a sentence with one blank or more, without an end mark.

    Raises:
      MtmoeError: no blank, a blank number repeated or out of range, or a private
        character (U+E000) in the sentence.
    """
    numbers = _blank_numbers(sentence, num_sentinels(vocabulary))
    return _encode(sentence, numbers, vocabulary)


def predicted_spans(
    tokens: Sequence[int], vocabulary: seqio.Vocabulary
) -> dict[int, str]:
    """Reads predicted targets: the text behind each sentinel, up to the next.

    Reading stops at EOS or padding. Text before the first sentinel belongs to no blank.
    Of a sentinel that comes twice the first span counts.

    Returns:
      Text by blank number, with the space it begins with, if any.
    """
    first_sentinel = vocabulary.vocab_size - num_sentinels(vocabulary)
    spans: dict[int, list[int]] = {}
    current: list[int] = []
    for token in map(int, tokens):
        if token in (vocabulary.eos_id, vocabulary.pad_id):
            break
        if token >= first_sentinel:
            current = []
            spans.setdefault(vocabulary.vocab_size - 1 - token, current)
        else:
            current.append(token)
    return {
        number: decode_behind_text(span, vocabulary) for number, span in spans.items()
    }


def fill_blanks(sentence: str, spans: dict[int, str]) -> str:
    """Puts spans in the place of a sentence's blanks, in the order of the text.

    Spaces are not doubled: a span loses those its place already has. A blank without a
    span stays as it is. Text is handled in logical order, so right-to-left scripts
    need nothing special.
    """
    filled: list[str] = []
    end = 0
    for blank in BLANK.finditer(sentence):
        filled.append(sentence[end : blank.start()])
        end = blank.end()
        span = spans.get(int(blank[1]))
        if span is None:
            filled.append(blank[0])
            continue
        before = "".join(filled)
        if not before or before[-1].isspace():
            span = span.lstrip()
        if sentence[end : end + 1].isspace():
            span = span.rstrip()
        filled.append(span)
    return "".join([*filled, sentence[end:]])


def _blank_numbers(sentence: str, allowed: int) -> tuple[int, ...]:
    numbers = tuple(int(blank[1]) for blank in BLANK.finditer(sentence))
    if not numbers:
        raise MtmoeError("there is no blank; write one as <extra_id_0>")
    for index, number in enumerate(numbers):
        if number in numbers[:index]:
            raise MtmoeError(f"the blank <extra_id_{number}> stands there twice")
        if number >= allowed:
            raise MtmoeError(
                f"there is no blank <extra_id_{number}>; the vocabulary has "
                f"<extra_id_0> to <extra_id_{allowed - 1}>"
            )
    if _MARK in sentence:
        raise MtmoeError("the private character U+E000 cannot be used")
    return numbers


def _encode(
    sentence: str, numbers: tuple[int, ...], vocabulary: seqio.Vocabulary
) -> list[int]:
    """Encodes with a mark for each blank, then puts sentinels where the marks are."""
    space, marked = _with_marks(BLANK.sub(_MARK, sentence), vocabulary)
    encoded: list[int] = []
    blank = 0
    for token in marked:
        if token is not None:
            encoded.append(token)
            continue
        if encoded and encoded[-1] == space:
            encoded.pop()  # the space before a word is the word's own: the span has it
        if blank < len(numbers):
            encoded.append(vocabulary.vocab_size - 1 - numbers[blank])
        blank += 1
    if blank != len(numbers):
        raise MtmoeError(
            f"blanks of {sentence!r} cannot be told apart by this vocabulary; "
            "put text between them"
        )
    return encoded


def _with_marks(
    text: str, vocabulary: seqio.Vocabulary
) -> tuple[int | None, list[int | None]]:
    """Encodes a text with marks.

    Returns:
      The token of a lone space before a word, if any, and the tokens of the text, None
      in the place of each mark.
    """
    unk_id = token_kinds(vocabulary).unk_id
    if unk_id is not None:
        return _with_unknown_marks(text, vocabulary, unk_id)
    space, mark = _space_and_mark(vocabulary)
    tokens = list(vocabulary.encode(text))
    marked: list[int | None] = []
    place = 0
    while place < len(tokens):
        is_mark = tokens[place : place + len(mark)] == mark
        marked.append(None if is_mark else tokens[place])
        place += len(mark) if is_mark else 1
    return space, marked


def _with_unknown_marks(
    text: str, vocabulary: seqio.Vocabulary, unk_id: int
) -> tuple[int | None, list[int | None]]:
    """Does so where the mark is unknown, and one token with what is around it."""
    mark = list(vocabulary.encode(_MARK))
    marked: list[int | None] = []
    for token, surface in tokens_and_surfaces(text, vocabulary):
        if token != unk_id or _MARK not in surface:
            marked.append(token)
            continue
        for number, part in enumerate(surface.split(_MARK)):
            marked += [None] * (number > 0) + [unk_id] * bool(part)
    return mark[0] if len(mark) > 1 else None, marked


def _space_and_mark(vocabulary: seqio.Vocabulary) -> tuple[int | None, list[int]]:
    """Returns the token of a lone word-initial space, if any, and those of the mark."""
    mark = list(vocabulary.encode(_MARK))
    behind_text = list(vocabulary.encode(_ANCHOR + _MARK))
    common = 0
    while (
        common < min(len(mark), len(behind_text))
        and mark[-1 - common] == behind_text[-1 - common]
    ):
        common += 1
    space = mark[0] if common < len(mark) else None
    return space, mark[len(mark) - common :]


def decode_behind_text(span: list[int], vocabulary: seqio.Vocabulary) -> str:
    """Decodes tokens that stand behind others: a space they begin with is kept."""
    anchor = list(vocabulary.encode(_ANCHOR))
    text: str = vocabulary.decode([*anchor, *span])
    return text[len(vocabulary.decode(anchor)) :]
