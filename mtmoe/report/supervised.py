"""Supervised tasks in a report: one line a task, over all its languages.

Tasks labelled by people and tasks made by a rule have separate tables, and their scores
are never averaged together.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from mtmoe.report import html
from mtmoe.report.results import LanguageResult, means
from mtmoe.report.svg import escape
from mtmoe.report.wording import percent

TITLES = {
    "gold": "Written or labelled by people",
    "rule": "Made by a rule, or out of curated locale data",
}
HEADINGS = (
    "Task",
    "Family",
    "Languages",
    "Examples",
    "Bits per byte",
    "Token accuracy",
    "Own metrics",
    "Best",
    "Worst",
)


@dataclasses.dataclass(frozen=True)
class SupervisedGroup:
    """One supervised task in all its languages, each weighing the same.

    Attributes:
      name: the task's name without its language.
      labels: `gold` or `rule`.
      languages: how many.
      mean_accuracy: of text tokens, given the true ones before them.
      best: code of the language with the highest accuracy; `worst`, the lowest.
      own_metrics: means of the task's own metrics by name, over the languages that have
        them.
    """

    name: str
    family: str
    labels: str
    languages: int
    num_examples: int
    mean_bits_per_byte: float
    mean_accuracy: float
    best: str
    best_accuracy: float
    worst: str
    worst_accuracy: float
    own_metrics: Mapping[str, float]


def supervised_groups(
    results: Sequence[LanguageResult],
) -> tuple[SupervisedGroup, ...]:
    """Returns the supervised tasks, gold before rule, by family and name."""
    members: dict[tuple[str, str, str], list[LanguageResult]] = {}
    for result in results:
        if result.labels in TITLES:
            key = (result.labels, result.task_family, result.group)
            members.setdefault(key, []).append(result)
    return tuple(_group(*key, members[key]) for key in sorted(members))


def supervised_section(groups: Sequence[SupervisedGroup]) -> str:
    """Returns the section of the page; empty without supervised tasks."""
    if not groups:
        return ""
    tables = "".join(
        f"<h3>{escape(title)}</h3>{_table(groups, labels)}"
        for labels, title in TITLES.items()
        if any(group.labels == labels for group in groups)
    )
    return (
        '<section id="tasks" class="panel-box">\n<h2>Supervised tasks</h2>\n'
        '<p class="note">Targets of held-out examples, the true tokens before each '
        "given; own metrics, 0 to 100, are of targets that the model wrote itself; "
        "means over languages, each weighing the same. The two kinds are never "
        f"averaged together.</p>\n{tables}\n</section>"
    )


def cells(group: SupervisedGroup) -> tuple[str, ...]:
    """Returns a group's line, under `HEADINGS`."""
    return (
        group.name,
        group.family.replace("_", " "),
        str(group.languages),
        f"{group.num_examples:,}",
        f"{group.mean_bits_per_byte:.2f}",
        percent(group.mean_accuracy, 1),
        ", ".join(
            f"{name.replace('_', ' ')} {value:.1f}"
            for name, value in group.own_metrics.items()
        )
        or "–",
        f"{group.best} {percent(group.best_accuracy, 0)}",
        f"{group.worst} {percent(group.worst_accuracy, 0)}",
    )


def _group(
    labels: str, family: str, name: str, results: Sequence[LanguageResult]
) -> SupervisedGroup:
    best = max(results, key=lambda result: (result.accuracy, result.language))
    worst = min(results, key=lambda result: (result.accuracy, result.language))
    return SupervisedGroup(
        name=name,
        family=family,
        labels=labels,
        languages=len(results),
        num_examples=sum(result.num_examples for result in results),
        mean_bits_per_byte=sum(r.bits_per_byte.value for r in results) / len(results),
        mean_accuracy=sum(r.accuracy for r in results) / len(results),
        best=best.language,
        best_accuracy=best.accuracy,
        worst=worst.language,
        worst_accuracy=worst.accuracy,
        own_metrics=means(
            (name, value)
            for result in results
            for name, value in result.own_metrics.items()
        ),
    )


def _table(groups: Sequence[SupervisedGroup], labels: str) -> str:
    rows = [[*map(escape, cells(group))] for group in groups if group.labels == labels]
    return html.table(HEADINGS, rows, numeric=range(2, 6))
