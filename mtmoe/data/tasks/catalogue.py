"""The registered tasks: which there are, by what one looks for them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import seqio

from mtmoe.data.tasks.card import FAMILIES, TaskCard, task_card
from mtmoe.data.tasks.found import register_all_found
from mtmoe.data.tasks.registry import task_modules_imported
from mtmoe.errors import UnknownNameError
from mtmoe.languages import MC4_LANGUAGES, language_code, row_language


@dataclass(frozen=True)
class TaskFilter:
    """What one looks for; an empty string is anything.

    Attributes:
      family: a family of `FAMILIES`.
      language: a code, in any of the usual spellings.
      metric: a metric's name.
      labels: `gold`, `rule` or `self`.
      prefix: how the name begins.
    """

    family: str = ""
    language: str = ""
    metric: str = ""
    labels: str = ""
    prefix: str = ""


@dataclass(frozen=True)
class TaskGroup:
    """Tasks that are the same in several languages.

    Attributes:
      name: their common name, with `<language>` in the place of the code; the task's
        own name if there is one task only.
      tasks: their names.
      card: the first one's card.
      metrics: names of the metrics of them all; scripts may have their own.
    """

    name: str
    tasks: tuple[str, ...]
    card: TaskCard
    metrics: tuple[str, ...]


def select_tasks(
    wanted: TaskFilter | None = None,
) -> tuple[seqio.Task, ...]:
    """Returns the registered tasks that are as wanted, in order of name.

    Those of web text are there if a folder of it is given (`found.py`). A task with
    two names is there once, under its own.

    Raises:
      UnknownNameError: no such family, language or metric; with the nearest names.
    """
    register_all_found()
    names = seqio.TaskRegistry.names()
    tasks = sorted(
        (task for name in names if (task := seqio.TaskRegistry.get(name)).name == name),
        key=lambda task: task.name,
    )
    if wanted is None:
        return tuple(tasks)
    cards = [task_card(task) for task in tasks]
    _check(wanted, cards)
    code = canonical_language(wanted.language)
    return tuple(
        task
        for task, card in zip(tasks, cards, strict=True)
        if task.name.startswith(wanted.prefix)
        and wanted.family in ("", card.family)
        and code in ("", card.language)
        and (not wanted.metric or wanted.metric in card.metrics)
        and wanted.labels in ("", card.labels)
    )


def group_tasks(tasks: Iterable[seqio.Task]) -> tuple[TaskGroup, ...]:
    """Puts the languages of a task together."""
    members: dict[str, list[seqio.Task]] = {}
    for task in tasks:
        members.setdefault(task_group(task), []).append(task)
    return tuple(
        TaskGroup(
            stem if len(group) > 1 else group[0].name,
            tuple(task.name for task in group),
            task_card(group[0]),
            tuple(dict.fromkeys(name for t in group for name in task_card(t).metrics)),
        )
        for stem, group in members.items()
    )


def task_group(task: seqio.Task) -> str:
    """Returns a task's name with `<language>` in the place of its language's code."""
    code = task_card(task).language
    names = {code.replace("-", "_")} - {""}
    if names and code not in MC4_LANGUAGES:  # named by the suite's own code
        names |= {alias.replace("-", "_") for alias in row_language(code).aliases}
    head, _, tail = task.name.rpartition(".")
    if tail.replace("-", "_") in names:
        return f"{head}.<language>"
    parts = task.name.split(".")
    return ".".join(
        "<language>" if part.replace("-", "_") in names else part for part in parts
    )


def canonical_language(code: str) -> str:
    """Returns the code of a language's row, what is no language's code as it is."""
    try:
        return language_code(code) if code else ""
    except UnknownNameError:
        return code


def registered_at(provider: seqio.Task | seqio.Mixture) -> str:
    """Returns `file:line` of the statement that registered a task or mixture.

    Tasks registered by SeqIO alone do not say: for them it is the first line of the
    task modules that names them; "" if none does.
    """
    info = provider.source_info
    if info is not None and info.file_path:
        return f"{info.file_path}:{info.line_number}"
    for module in task_modules_imported():
        path = getattr(sys.modules.get(module), "__file__", None)
        if path is None:
            continue
        lines = Path(path).read_text("utf-8").split("\n")
        for number, line in enumerate(lines, start=1):
            if provider.name in line:
                return f"{path}:{number}"
    return ""


def aliases_of(name: str) -> tuple[str, ...]:
    """Returns the other names a task is registered under."""
    return tuple(
        other
        for other in sorted(seqio.TaskRegistry.names())
        if other != name and seqio.TaskRegistry.get(other).name == name
    )


def mixtures() -> dict[str, seqio.Mixture]:
    """Returns the registered mixtures by their own names, which aliases are not."""
    registry = seqio.MixtureRegistry
    named = (registry.get(name) for name in sorted(registry.names()))
    return {mixture.name: mixture for mixture in named}


def mixtures_with(name: str) -> tuple[str, ...]:
    """Returns the mixtures that a task is part of."""
    return tuple(
        mixture_name
        for mixture_name, mixture in mixtures().items()
        if any(task.name == name for task in mixture.tasks)
    )


def _check(wanted: TaskFilter, cards: Sequence[TaskCard]) -> None:
    code = canonical_language(wanted.language)
    languages = {card.language for card in cards}
    metrics = {metric for card in cards for metric in card.metrics}
    labels = {"gold", "rule", "self"}
    for what, given, word, known in (
        ("family", wanted.family, wanted.family, FAMILIES),
        ("language of a task", wanted.language, code, languages),
        ("metric of a task", wanted.metric, wanted.metric, metrics),
        ("kind of labels", wanted.labels, wanted.labels, labels),
    ):
        if word and word not in known:
            raise UnknownNameError(what, given, known)
