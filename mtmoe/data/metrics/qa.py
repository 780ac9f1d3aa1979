"""Answers to questions: exact match and token F1, the best over the right answers.

`exact_match` compares texts as they are. The others compare normalised answers and
give t5's keys, `em` and `f1`. They differ from `t5.evaluation.metrics.squad` in what it
leaves open, by SQuAD 2.0's official rules: a question without a right answer wants the
empty answer, and the F1 of answers that normalise to nothing ("the") is 100 if both do.
"""

from __future__ import annotations

import functools
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from string import punctuation

from mtmoe.data.metrics.alignment import check_aligned, references_of
from mtmoe.data.metrics.words import UnicodeWords, check_spaced
from mtmoe.errors import UnknownNameError
from mtmoe.languages import spaces_words

Answers = str | Sequence[str]
Metric = Callable[[Sequence[Answers], Sequence[str]], dict[str, float]]

_ARTICLES = {
    "en": r"\b(a|an|the)\b",
    "es": r"\b(un|una|unos|unas|el|la|los|las)\b",
    "hi": "",
    "vi": r"\b(của|là|cái|chiếc|những)\b",
    "de": r"\b(ein|eine|einen|einem|eines|einer|der|die|das|den|dem|des)\b",
    # The official expression, in which the part before the bar never matches: the
    # letters of the article go wherever they are.
    "ar": r"\sال^|ال",
    "zh": "",
}


def exact_match(
    targets: Sequence[Answers], predictions: Sequence[str]
) -> dict[str, float]:
    """Returns `exact_match`: predictions that equal one of their targets.

    Case and punctuation count (logical forms, numbers, code); how much white space
    there is does not. For answers in prose see `multiple_answers`.
    """
    check_aligned(targets, predictions)
    hits = sum(
        any(reference.split() == prediction.split() for reference in _answers(target))
        for target, prediction in zip(targets, predictions, strict=True)
    )
    return {"exact_match": 100.0 * hits / len(targets)}


def token_f1(
    targets: Sequence[Answers], predictions: Sequence[str]
) -> dict[str, float]:
    """Returns `f1` alone of `multiple_answers`."""
    return {"f1": multiple_answers(targets, predictions)["f1"]}


def multiple_answers(
    targets: Sequence[Answers], predictions: Sequence[str]
) -> dict[str, float]:
    """Returns `em` and `f1`, the best over each question's right answers.

    Answers are compared in lower case without punctuation and English articles, F1 on
    words between white space (Rajpurkar et al. 2016 and 2018). A target is a text or a
    list of them; an empty list says that no answer is right.

    Raises:
      CorpusError: most of the answers are in a script without spaces between words.
    """
    check_spaced([_answers(t) for t in targets], "f1", "answers_in(LANGUAGE)")
    return _best_over_answers(targets, predictions, _normalized)


@functools.cache
def answers_in(language: str) -> Metric:
    """Returns a metric of answers in a language: `em` and `f1` of `multiple_answers`.

    In languages written without spaces an answer is mostly one word between spaces, and
    its F1 all or nothing. There the metric gives `em`, `f1_char`, the F1 of characters
    (`UnicodeWords`), and the published protocol's F1 as `f1_by_spaces`.
    """
    if spaces_words(language):
        return multiple_answers
    words = UnicodeWords(language)

    def metric(
        targets: Sequence[Answers], predictions: Sequence[str]
    ) -> dict[str, float]:
        published = _best_over_answers(targets, predictions, _normalized)
        by_character = _best_over_answers(
            targets,
            predictions,
            lambda text: " ".join(words.tokenize(_normalized(text))),
        )
        return {
            "em": published["em"],
            "f1_char": by_character["f1"],
            "f1_by_spaces": published["f1"],
        }

    metric.__name__ = f"answers_in_{language}"
    return metric


def answer_keys(language: str) -> tuple[str, ...]:
    """Returns the names of what `answers_in` gives."""
    spaced = spaces_words(language)
    return ("em", "f1") if spaced else ("em", "f1_char", "f1_by_spaces")


@functools.cache
def mlqa(language: str) -> Metric:
    """Returns a metric: `em` and `f1` with MLQA's normalisation for a language.

    The official rules (Lewis et al. 2020): lower case, no punctuation of any script, no
    articles of the language; words between white space, Chinese characters one by one.

    Raises:
      UnknownNameError: MLQA has ar, de, en, es, hi, vi and zh only.
    """
    if language not in _ARTICLES:
        raise UnknownNameError("language of MLQA", language, _ARTICLES)

    def metric(
        targets: Sequence[Answers], predictions: Sequence[str]
    ) -> dict[str, float]:
        normalize = functools.partial(normalize_mlqa, language=language)
        return _best_over_answers(targets, predictions, normalize)

    metric.__name__ = f"mlqa_{language}"
    return metric


def normalize_mlqa(text: str, language: str) -> str:
    """Returns an answer as MLQA's official evaluation compares it."""
    bare = text.lower().translate(_no_punctuation())
    if _ARTICLES[language]:
        bare = re.sub(_ARTICLES[language], " ", bare)
    if language == "zh":
        bare = re.sub("([\u4e00-\u9fa5])", r" \1 ", bare)
    return " ".join(bare.split())


@functools.lru_cache(maxsize=1)
def _no_punctuation() -> dict[int, None]:
    """Category P of Unicode, and ASCII's symbols."""
    of_unicode = (
        point
        for point in range(sys.maxunicode)
        if unicodedata.category(chr(point)).startswith("P")
    )
    return dict.fromkeys([*of_unicode, *map(ord, punctuation)])


def _normalized(answer: str) -> str:
    """In lower case, without punctuation and English articles, as SQuAD's script."""
    from t5.evaluation import qa_utils  # which imports all of T5, and that scikit-learn

    return str(qa_utils.normalize_squad(answer))


def _best_over_answers(
    targets: Sequence[Answers],
    predictions: Sequence[str],
    normalize: Callable[[str], str],
) -> dict[str, float]:
    check_aligned(targets, predictions)
    matches, f1 = 0, 0.0
    for target, prediction in zip(targets, predictions, strict=True):
        answer = normalize(prediction)
        right = [normalize(reference) for reference in _answers(target)]
        matches += answer in right
        f1 += max(_token_f1(reference.split(), answer.split()) for reference in right)
    return {"em": 100.0 * matches / len(targets), "f1": 100.0 * f1 / len(targets)}


def _answers(target: Answers) -> list[str]:
    """The right answers; nothing at all is right if there are none."""
    return references_of(target or "")


def _token_f1(reference: Sequence[str], answer: Sequence[str]) -> float:
    if not reference or not answer:
        return float(reference == answer)
    common = (Counter(reference) & Counter(answer)).total()
    return 2.0 * common / (len(reference) + len(answer))
