"""Prints docs/tasks.md from what is registered: `python -m mtmoe.data.tasks.table`."""

from __future__ import annotations

from collections import Counter

from mtmoe.data.tasks.card import FAMILIES
from mtmoe.data.tasks.catalogue import group_tasks, mixtures, select_tasks
from mtmoe.data.tasks.registry import BUILT_IN_TASK_MODULES, register

_VERIFIED = {
    "run": "run on real data in every test run",
    "layout": "run on files written in the published layout",
    "mocked": "run on made-up and hand-written examples of the builder's features",
    "": "not said",
}


def tasks_page() -> str:
    """Returns the page: every registered task, languages put together, by family."""
    tasks = select_tasks()
    groups = group_tasks(tasks)
    families = Counter(group.card.family for group in groups)
    mixture_rows = _mixture_rows()
    lines = [
        "# The registered tasks",
        "",
        "Written by `python -m mtmoe.data.tasks.table > docs/tasks.md`; a test "
        "holds it",
        f"to what is registered. {len(tasks):,} tasks, {len(groups):,} with their",
        f"languages put together, {len(mixture_rows):,} mixtures.",
        "`mtmoe tasks list` filters them, `mtmoe tasks show NAME` tells more.",
        "",
        "How a task is verified:",
        "",
        *(f"* {word or 'no word'}: {text}" for word, text in _VERIFIED.items()),
    ]
    for family in FAMILIES:
        if not families[family]:
            continue
        lines += [
            "",
            f"## {family}: {FAMILIES[family]}",
            "",
            "| task | languages | source | metrics | labels | verified |",
            "|---|---|---|---|---|---|",
        ]
        for group in groups:
            card = group.card
            if card.family != family:
                continue
            languages = str(len(group.tasks)) if len(group.tasks) > 1 else card.language
            metrics = ", ".join(group.metrics)
            lines.append(
                f"| `{group.name}` | {languages} | {card.origin} | {metrics} "
                f"| {card.labels} | {card.verified} |"
            )
    lines += ["", "## Mixtures", "", "| mixture | tasks |", "|---|---|", *mixture_rows]
    return "\n".join(lines) + "\n"


def _mixture_rows() -> list[str]:
    return [
        f"| `{name}` | {len(mixture.tasks):,} |" for name, mixture in mixtures().items()
    ]


if __name__ == "__main__":
    register(BUILT_IN_TASK_MODULES)
    print(tasks_page(), end="")
