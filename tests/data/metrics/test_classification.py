"""F1 and recall by class, against scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from mtmoe.data.metrics.classification import (
    f1_of,
    macro_f1,
    macro_recall,
    multi_label_macro_f1,
    stance_f1,
)
from mtmoe.errors import CorpusError

STANCES = ["favor", "against", "none"]


def random_labels(seed, labels=("a", "b", "c"), number=60):
    rng = np.random.default_rng(seed)
    return [str(label) for label in rng.choice(labels, number)]


@pytest.mark.parametrize("seed", range(5))
def test_macro_f1_and_recall_are_scikit_learns(seed):
    targets = random_labels(seed)
    predictions = random_labels(seed + 100, ("a", "b", "c", "some free text"))
    classes = sorted(set(targets))
    f1 = sklearn_metrics.f1_score(targets, predictions, labels=classes, average="macro")
    recall = sklearn_metrics.recall_score(
        targets, predictions, labels=classes, average="macro"
    )
    assert macro_f1(targets, predictions)["macro_f1"] == pytest.approx(100 * f1)
    got = macro_recall(targets, predictions)["macro_recall"]
    assert got == pytest.approx(100 * recall)
    f1 = sklearn_metrics.f1_score(targets, predictions, labels=["b"], average="macro")
    assert f1_of("b")(targets, predictions) == {"f1_b": pytest.approx(100 * f1)}


def test_free_text_is_one_mistake_not_a_class():
    # F1: a = 2*1/(2+1), b = 2*1/(1+1).
    scores = macro_f1(["a", "a", "b"], ["a", "no idea", "b"])
    assert scores["macro_f1"] == pytest.approx(100 * (2 / 3 + 1) / 2)


def test_class_ids_are_labels_too():
    assert macro_f1([0, 1, 2], [0, 1, -1])["macro_f1"] == pytest.approx(200 / 3)
    assert f1_of(1, "f1_toxic")([0, 1], [1, 1]) == {"f1_toxic": pytest.approx(200 / 3)}


def test_nothing_right_is_zero():
    assert macro_f1(["a", "b"], ["b", "a"]) == {"macro_f1": 0.0}
    assert macro_recall(["a", "b"], ["", ""]) == {"macro_recall": 0.0}
    assert f1_of("a")(["a"], ["b"]) == {"f1_a": 0.0}


def test_a_class_that_is_nowhere_is_perfect():
    assert f1_of("irony")(["a"], ["a"]) == {"f1_irony": 100.0}
    assert stance_f1(["none"], ["none"]) == {"stance_f1": 100.0}


@pytest.mark.parametrize("seed", range(3))
def test_stance_f1_leaves_none_out(seed):
    targets, predictions = (random_labels(s, STANCES) for s in (seed, seed + 50))
    expected = sklearn_metrics.f1_score(
        targets, predictions, labels=["favor", "against"], average="macro"
    )
    got = stance_f1(targets, predictions)["stance_f1"]
    assert got == pytest.approx(100 * expected)


@pytest.mark.parametrize("seed", range(3))
def test_multi_label_macro_f1_is_scikit_learns(seed):
    rng = np.random.default_rng(seed)
    gold, found = rng.integers(0, 2, (2, 40, 4))
    gold[0] = 1  # every label is among the targets
    names = np.array(["joy", "fear", "anger", "grief"])
    expected = sklearn_metrics.f1_score(gold, found, average="macro")
    got = multi_label_macro_f1(
        [list(names[row == 1]) for row in gold], [set(names[row == 1]) for row in found]
    )
    assert got == {"multi_label_macro_f1": pytest.approx(100 * expected)}


def test_multi_label_edges():
    assert multi_label_macro_f1([[]], [[]]) == {"multi_label_macro_f1": 100.0}
    assert multi_label_macro_f1([[]], [["joy"]]) == {"multi_label_macro_f1": 0.0}
    assert multi_label_macro_f1([["joy", "joy"]], [["joy"]]) == {
        "multi_label_macro_f1": 100.0
    }
    with pytest.raises(ValueError, match="'joy'"):
        multi_label_macro_f1(["joy"], [["joy"]])


@pytest.mark.parametrize(
    "metric", [macro_f1, macro_recall, f1_of("a"), stance_f1, multi_label_macro_f1]
)
def test_nothing_to_score_is_said(metric):
    with pytest.raises(CorpusError, match="no examples"):
        metric([], [])
    with pytest.raises(ValueError, match="2 targets but 1"):
        metric(["a", "b"], ["a"])
