"""Answers: SQuAD's and MLQA's rules, case by case, and t5's own implementation."""

import inspect
import unicodedata

import pytest
from t5.evaluation import metrics as t5_metrics

from mtmoe.data.metrics.qa import (
    answer_keys,
    answers_in,
    exact_match,
    mlqa,
    multiple_answers,
    normalize_mlqa,
    token_f1,
)
from mtmoe.errors import CorpusError, UnknownNameError

ANSWERS = [["the river Oslo", "Oslo river"], ["42"], ["a red, red door"], "Anna Berg"]


def test_exact_match_counts_case_and_punctuation_but_not_spacing():
    assert exact_match(["answer(x, 1)"], ["answer(x,  1) "])["exact_match"] == 100.0
    assert exact_match(["answer(x)"], ["answer x"])["exact_match"] == 0.0
    assert exact_match(["Oslo"], ["oslo"])["exact_match"] == 0.0
    assert exact_match([["a", "b"], "c"], ["b", "d"])["exact_match"] == 50.0


def test_multiple_answers_are_t5s_squad():
    predictions = ["Oslo!", "forty two", "red door", "the Anna Berg"]
    lists = [[a] if isinstance(a, str) else a for a in ANSWERS]
    expected = t5_metrics.squad(lists, predictions)
    assert multiple_answers(ANSWERS, predictions) == pytest.approx(expected)
    assert token_f1(ANSWERS, predictions) == pytest.approx({"f1": expected["f1"]})


def test_f1_by_hand():
    # 1 of 1 predicted and 1 of 2 expected words: F1 2/3; the other answer has none.
    scores = multiple_answers([["river Oslo", "town"]], ["oslo"])
    assert scores == {"em": 0.0, "f1": pytest.approx(200 / 3)}
    # Repeated words count as often as both have them: 2 * 1 / (3 + 1).
    assert token_f1(["red red red"], ["red"]) == {"f1": pytest.approx(50.0)}


@pytest.mark.parametrize("no_answer", [[], "", [""]])
def test_without_a_right_answer_the_empty_one_is_right(no_answer):
    assert multiple_answers([no_answer], [""]) == {"em": 100.0, "f1": 100.0}
    assert multiple_answers([no_answer], ["Oslo"]) == {"em": 0.0, "f1": 0.0}
    assert exact_match([no_answer], [""]) == {"exact_match": 100.0}


def test_an_answer_that_normalises_to_nothing_can_be_right():
    assert multiple_answers(["The"], ["the"]) == {"em": 100.0, "f1": 100.0}
    assert multiple_answers(["$"], ["dollar"]) == {"em": 0.0, "f1": 0.0}
    assert multiple_answers(["Oslo"], [""]) == {"em": 0.0, "f1": 0.0}


@pytest.mark.parametrize(
    ("language", "text", "normalised"),
    [
        ("en", "The  Answer, an apple (a fruit)!", "answer apple fruit"),
        ("es", "¿Los niños y las niñas? ¡Sí!", "niños y niñas sí"),
        ("de", "Des Kaisers »neue« Kleider", "kaisers neue kleider"),
        ("vi", "những con mèo của tôi là đen", "con mèo tôi đen"),
        ("hi", "वह राजा था।", "वह राजा था"),
        # The article's letters go wherever they are, in the middle of a word too.
        ("ar", "البيت الكبير؟", "بيت كبير"),
        ("ar", "شمال", "شم"),
        ("zh", "他在2008年去了 New York。", "他 在 2008 年 去 了 new york"),
        ("zh", "《红楼梦》", "红 楼 梦"),
    ],
)
def test_mlqa_normalisation(language, text, normalised):
    assert normalize_mlqa(text, language) == normalised


def test_mlqa_drops_punctuation_of_every_script():
    marks = "!?.,।؟、。«»“”„‐—·፡"
    assert all(unicodedata.category(mark).startswith("P") for mark in marks)
    assert normalize_mlqa(f"a{marks}b+", "de") == "ab"
    # Symbols outside ASCII stay.
    assert normalize_mlqa("5 €", "de") == "5 €"


def test_mlqa_scores():
    chinese = mlqa("zh")
    # Predicted 2 characters, expected 3, common 2.
    assert chinese([["北京市"]], ["北京"]) == {"em": 0.0, "f1": pytest.approx(80.0)}
    spanish = mlqa("es")
    scores = spanish([["la casa", "un árbol"], ["mar"]], ["El árbol.", "sol"])
    assert scores == {"em": 50.0, "f1": 50.0}
    # The examples of upstream's own tests.
    assert mlqa("en")([["abc abd", "$$$$"]], ["abd"])["f1"] == pytest.approx(200 / 3)
    assert mlqa("es")([["this unas a string"]], ["this a string"])["em"] == 100.0


def test_mlqa_is_one_metric_a_language():
    assert mlqa("de") is mlqa("de")
    assert mlqa("de").__name__ == "mlqa_de"
    assert tuple(inspect.signature(mlqa("de")).parameters) == ("targets", "predictions")
    with pytest.raises(UnknownNameError, match="'dee'.*de"):
        mlqa("dee")


@pytest.mark.parametrize(
    "metric", [exact_match, token_f1, multiple_answers, mlqa("en")]
)
def test_nothing_to_score_is_said(metric):
    with pytest.raises(CorpusError, match="no examples"):
        metric([], [])


def test_answers_in_languages_without_spaces_are_compared_by_character() -> None:
    metric = answers_in("zh")
    assert metric is answers_in("zh") and answers_in("de") is multiple_answers
    scores = metric(["北京市", ["纽约", "纽约市"]], ["北京", "纽约。"])
    # Characters: 2 of 2 and 2 of 3; then all of 纽约. Between spaces: nothing is right.
    assert scores["f1_char"] == pytest.approx(100 * (4 / 5 + 1) / 2)
    assert scores["f1_by_spaces"] == scores["em"] == 0.0
    assert tuple(scores) == answer_keys("zh") and answer_keys("sw") == ("em", "f1")


def test_words_between_spaces_are_not_counted_where_there_are_none() -> None:
    with pytest.raises(CorpusError, match=r"register the task with answers_in"):
        multiple_answers(["北京市", "纽约"], ["北京", "纽约"])
