"""Records of the multiple choice suites, made into questions with lettered options.

One convention for all: the parts of the question by name, the options in letters, the
right letter as target.

    xcopa: premise: ... question: cause options: (A) ... (B) ...   ->   B

Of what a model writes, its first letter counts, so that `(B)` and `B: ...` are answers
too. (Scores in the literature often compare likelihoods of the options instead.)
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from mtmoe.data.sources.files import Record
from mtmoe.data.sources.pairs import TextExample
from mtmoe.tasks.multilingual.suites import number_field, text_field

LETTERS = "ABCDEFGH"

_ANSWER = re.compile(r"\s*\(?([A-H])(?![^\W_])")


class Choice(NamedTuple):
    """A question with its options.

    Attributes:
      question: what is asked, after the suite's name.
      options: at least two texts.
      answer: index of the right one.
    """

    question: str
    options: Sequence[str]
    answer: int


def lettered(suite: str, choice: Choice) -> TextExample:
    """Returns the text-to-text example of a choice.

    Args:
      suite: what the inputs begin with.
      choice: the question.

    Raises:
      ValueError: there are not two to eight options, or the answer is none of them.
    """
    question, options, answer = choice
    if not 2 <= len(options) <= len(LETTERS):
        raise ValueError(f"{len(options)} options; allowed: 2 to {len(LETTERS)}")
    if not 0 <= answer < len(options):
        raise ValueError(f"the answer is option {answer} of {len(options)}, from 0")
    written = " ".join(
        f"({letter}) {option}" for letter, option in zip(LETTERS, options, strict=False)
    )
    return {
        "inputs": f"{suite}: {question} options: {written}",
        "targets": LETTERS[answer],
    }


def first_letter(text: str, **_: Any) -> str:
    """Returns the letter that a text begins with, the text itself if there is none."""
    found = _ANSWER.match(text)
    return found.group(1) if found else text.strip()


def xcopa(record: Record) -> Choice:
    """Returns the choice of a record of XCOPA (Ponti et al. 2020)."""
    premise, question = text_field(record, "premise"), text_field(record, "question")
    return Choice(
        f"premise: {premise} question: {question}",
        [text_field(record, "choice1"), text_field(record, "choice2")],
        number_field(record, "label"),
    )


def xstorycloze(record: Record) -> Choice:
    """Returns the choice of a record of XStoryCloze (Lin et al. 2022)."""
    story = " ".join(text_field(record, f"InputSentence{i}") for i in range(1, 5))
    endings = [text_field(record, f"RandomFifthSentenceQuiz{i}") for i in (1, 2)]
    answer = number_field(record, "AnswerRightEnding") - 1
    return Choice(f"story: {story}", endings, answer)


def xwinograd(record: Record) -> Choice:
    """Returns the choice of a record of XWinograd: what fits the gap `_`."""
    sentence = text_field(record, "sentence")
    if "_" not in sentence:
        raise ValueError("field 'sentence' has no gap _")
    return Choice(
        f"sentence: {sentence}",
        [text_field(record, "option1"), text_field(record, "option2")],
        number_field(record, "answer") - 1,
    )


def belebele(record: Record) -> Choice:
    """Returns the choice of a record of Belebele (Bandarkar et al. 2024)."""
    passage = text_field(record, "flores_passage")
    question = text_field(record, "question")
    return Choice(
        f"passage: {passage} question: {question}",
        [text_field(record, f"mc_answer{i}") for i in range(1, 5)],
        number_field(record, "correct_answer_num") - 1,
    )


def four_options(record: Record) -> Choice:
    """Returns the choice of a record of Global-MMLU or INCLUDE.

    Their answers are a letter and an index.
    """
    answer = record["answer"]
    return Choice(
        f"question: {text_field(record, 'question')}",
        [text_field(record, f"option_{letter}") for letter in "abcd"],
        _letter_index(answer)
        if isinstance(answer, str)
        else number_field(record, "answer"),
    )


def okapi_questions(letters: str, record: Record) -> Choice | None:
    """Returns the choice of a record of Okapi's ARC or MMLU, None if one was lost.

    An option that the translation lost is no string, or empty.

    Args:
      letters: letters of the options there may be.
      record: the record.
    """
    question = without_markup(text_field(record, "instruction"))
    answer = record["answer"]
    options = {
        letter.upper(): without_markup(option)
        for letter in letters
        if isinstance(option := record.get(f"option_{letter}"), str) and option.strip()
    }
    if answer not in options or len(options) < 2 or not question:
        return None
    return Choice(
        f"question: {question}", list(options.values()), list(options).index(answer)
    )


def okapi_hellaswag(record: Record) -> Choice | None:
    """Returns the choice of a record of Okapi's HellaSwag, None if one was lost."""
    activity = text_field(record, "activity_label")
    start, more, endings = record["ctx_a"], record["ctx_b"], record["endings"]
    parts = [part.strip() for part in (start, more) if isinstance(part, str)]
    if not all(isinstance(ending, str) and ending.strip() for ending in endings):
        return None
    return Choice(
        "context: " + without_markup(f"{activity}: {' '.join(parts)}"),
        [without_markup(ending) for ending in endings],
        number_field(record, "label"),
    )


def multiblimp(record: Record) -> Choice:
    """Returns the choice between a right and a wrong sentence, in either order."""
    right, wrong = text_field(record, "sen"), text_field(record, "wrong_sen")
    # Either place equally often, and the same one every time.
    answer = zlib.crc32(right.encode()) % 2
    pair = [right, wrong] if answer == 0 else [wrong, right]
    return Choice("which sentence is right?", pair, answer)


def without_markup(text: str) -> str:
    """Returns a text of HellaSwag or ARC without the leftovers of WikiHow's headings.

    As lm-evaluation-harness cleans both: ` [title]` begins a sentence, any other
    bracket goes.
    """
    text = text.strip().replace(" [title]", ". ")
    return re.sub(r"\[.*?\]", "", text).replace("  ", " ").strip()


def _letter_index(answer: str) -> int:
    letter = answer.strip().upper()
    if len(letter) != 1 or letter not in LETTERS:
        raise ValueError(f"field 'answer' is {answer!r}, not a letter")
    return LETTERS.index(letter)
