"""F1 and recall by class: for tasks whose classes are not equally common.

Labels may be texts or class ids, whatever the task's postprocessor gives. A prediction
that is no class at all is a miss of its target's class and a hit of none.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Sequence

from mtmoe.data.metrics.alignment import check_aligned

Metric = Callable[[Sequence[Hashable], Sequence[Hashable]], dict[str, float]]


def macro_f1(
    targets: Sequence[Hashable], predictions: Sequence[Hashable]
) -> dict[str, float]:
    """Returns `macro_f1`: the mean F1 of the classes among the targets.

    scikit-learn's `f1_score(average="macro", labels=classes of the targets)`. A class
    that is only ever predicted costs precision of the others, not a zero of its own,
    so that free text of a model counts as one mistake.
    """
    check_aligned(targets, predictions)
    classes = set(targets)
    scores = [_class_f1(label, targets, predictions) for label in classes]
    return {"macro_f1": 100.0 * sum(scores) / len(scores)}


def macro_recall(
    targets: Sequence[Hashable], predictions: Sequence[Hashable]
) -> dict[str, float]:
    """Returns `macro_recall`: the mean recall of the classes among the targets.

    Balanced accuracy; the measure of TweetEval's sentiment (Barbieri et al. 2020).
    """
    check_aligned(targets, predictions)
    hits = dict.fromkeys(targets, 0)
    seen = dict.fromkeys(targets, 0)
    for target, prediction in zip(targets, predictions, strict=True):
        seen[target] += 1
        hits[target] += target == prediction
    return {"macro_recall": 100.0 * sum(hits[c] / seen[c] for c in seen) / len(seen)}


def f1_of(label: Hashable, name: str = "") -> Metric:
    """Returns a metric: the F1 of the class `label`, under `name` or `f1_<label>`.

    It is perfect where the class is in neither targets nor predictions.
    """
    key = name or f"f1_{label}"

    def metric(
        targets: Sequence[Hashable], predictions: Sequence[Hashable]
    ) -> dict[str, float]:
        check_aligned(targets, predictions)
        return {key: 100.0 * _class_f1(label, targets, predictions)}

    metric.__name__ = key
    return metric


def stance_f1(
    targets: Sequence[Hashable], predictions: Sequence[Hashable]
) -> dict[str, float]:
    """Returns `stance_f1`: the mean F1 of the labels `favor` and `against`.

    The measure of SemEval-2016 task 6 (Mohammad et al. 2016) and of TweetEval; `none`
    counts only where it is mistaken for one of them.
    """
    check_aligned(targets, predictions)
    scores = [_class_f1(label, targets, predictions) for label in ("favor", "against")]
    return {"stance_f1": 100.0 * sum(scores) / len(scores)}


def multi_label_macro_f1(
    targets: Sequence[Collection[Hashable]],
    predictions: Sequence[Collection[Hashable]],
) -> dict[str, float]:
    """Returns `multi_label_macro_f1`: the mean F1 of the labels among the targets.

    Each target and prediction is a set (or list) of labels; a label given twice counts
    once. Where no target has a label, the score is perfect if nothing is predicted.
    """
    check_aligned(targets, predictions)
    for labels in (*targets, *predictions):
        if isinstance(labels, str):
            raise ValueError(f"a set of labels is needed, got the text {labels!r}")
    gold = [frozenset(labels) for labels in targets]
    found = [frozenset(labels) for labels in predictions]
    classes = frozenset[Hashable]().union(*gold)
    if not classes:
        return {"multi_label_macro_f1": 0.0 if any(found) else 100.0}
    scores = [
        _f1(
            sum(label in g and label in f for g, f in zip(gold, found, strict=True)),
            sum(label in f for f in found),
            sum(label in g for g in gold),
        )
        for label in classes
    ]
    return {"multi_label_macro_f1": 100.0 * sum(scores) / len(scores)}


def _class_f1(
    label: Hashable, targets: Sequence[Hashable], predictions: Sequence[Hashable]
) -> float:
    return _f1(
        sum(t == p == label for t, p in zip(targets, predictions, strict=True)),
        sum(p == label for p in predictions),
        sum(t == label for t in targets),
    )


def _f1(hits: int, predicted: int, expected: int) -> float:
    if predicted + expected == 0:
        return 1.0
    return 2.0 * hits / (predicted + expected)
