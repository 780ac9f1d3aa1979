"""Sentences with `<extra_id_N>` blanks to model inputs, and predicted spans back again.

A blank becomes one sentinel token (number N counts down from the last token of the
vocabulary, as in span corruption). The text around it is encoded as running text, so a
blank may stand anywhere, inside a word or in a script without spaces.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import seqio

from mtmoe.data.vocabularies import num_sentinels
from mtmoe.errors import MtmoeError

Int32Array = npt.NDArray[np.int32]

BLANK = re.compile(r"<extra_id_(\d+)>")
_MARK = "\ue000"  # stands for a blank while the text around it is encoded
_ANCHOR = "a"  # a token before a span, so that the span's first space is decoded


@dataclass(frozen=True)
class InfillExamples:
    """Model inputs of sentences with blanks.

    Attributes:
      inputs: int32 [N, L], EOS at the end, padded with 0.
      blanks: numbers of each sentence's blanks, in the order of the text.
    """

    inputs: Int32Array
    blanks: tuple[tuple[int, ...], ...]


def infill_examples(
    sentences: Sequence[str],
    vocabulary: seqio.Vocabulary,
    inputs_length: int,
    where: str = "line",
) -> InfillExamples:
    """Encodes sentences with blanks.

    Args:
      sentences: N texts, each with one blank or more.
      vocabulary: the model's.
      inputs_length: L, the longest input with EOS.
      where: what a sentence's number, from 1, is called in messages, e.g. `in.txt:`.

    Raises:
      MtmoeError: a sentence without a blank, a blank number repeated or out of range, a
        sentence longer than `inputs_length`, or a private character (U+E000) in it.
    """
    inputs = np.zeros((len(sentences), inputs_length), np.int32)
    blanks = []
    for row, sentence in enumerate(sentences):
        place = f"{where} {row + 1}"
        numbers = _blank_numbers(sentence, num_sentinels(vocabulary), place)
        tokens = [*_encode(sentence, numbers, vocabulary), vocabulary.eos_id]
        if len(tokens) > inputs_length:
            raise MtmoeError(
                f"{place}: the sentence has {len(tokens)} tokens with its end; "
                f"the model takes at most {inputs_length}"
            )
        inputs[row, : len(tokens)] = tokens
        blanks.append(numbers)
    return InfillExamples(inputs, tuple(blanks))


def predicted_spans(
    tokens: Sequence[int], vocabulary: seqio.Vocabulary
) -> dict[int, str]:
    """Reads predicted targets: the text behind each sentinel, up to the next.

    Args:
      tokens: predicted ids, in span corruption's target format; reading stops at EOS
        or padding. Text before the first sentinel belongs to no blank. If a sentinel
        comes twice the first span counts.
      vocabulary: the model's.

    Returns:
      text by blank number, with the space it begins with, if any.
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
    return {number: _decode(span, vocabulary) for number, span in spans.items()}


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


def _blank_numbers(sentence: str, allowed: int, place: str) -> tuple[int, ...]:
    numbers = tuple(int(blank[1]) for blank in BLANK.finditer(sentence))
    if not numbers:
        raise MtmoeError(f"{place}: there is no blank; write one as <extra_id_0>")
    for index, number in enumerate(numbers):
        if number in numbers[:index]:
            raise MtmoeError(
                f"{place}: the blank <extra_id_{number}> stands there twice"
            )
        if number >= allowed:
            raise MtmoeError(
                f"{place}: there is no blank <extra_id_{number}>; the vocabulary has "
                f"<extra_id_0> to <extra_id_{allowed - 1}>"
            )
    if _MARK in sentence:
        raise MtmoeError(f"{place}: the private character U+E000 cannot be used")
    return numbers


def _encode(
    sentence: str, numbers: tuple[int, ...], vocabulary: seqio.Vocabulary
) -> list[int]:
    """Encodes with a mark for each blank, then puts sentinels where the marks are."""
    space, mark = _space_and_mark(vocabulary)
    tokens = list(vocabulary.encode(BLANK.sub(_MARK, sentence)))
    encoded: list[int] = []
    place, blank = 0, 0
    while place < len(tokens):
        if tokens[place : place + len(mark)] != mark:
            encoded.append(tokens[place])
            place += 1
            continue
        if encoded and encoded[-1] == space:
            encoded.pop()  # the space before a word is the word's own: the span has it
        encoded.append(vocabulary.vocab_size - 1 - numbers[blank])
        place, blank = place + len(mark), blank + 1
    if blank != len(numbers):
        raise MtmoeError(
            f"blanks of {sentence!r} cannot be told apart by this vocabulary; "
            "put text between them"
        )
    return encoded


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


def _decode(span: list[int], vocabulary: seqio.Vocabulary) -> str:
    anchor = list(vocabulary.encode(_ANCHOR))
    text: str = vocabulary.decode([*anchor, *span])
    return text[len(vocabulary.decode(anchor)) :]
