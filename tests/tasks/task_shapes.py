"""Which of many tasks that differ in words alone stand for the others.

Suites have hundreds of tasks, one a language or a pair, made by the same few functions.
Each of these functions has to be seen at work, with each word that it is given; not
with every pair of words.
"""

from __future__ import annotations

import functools
import re
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import seqio

from mtmoe.data.tasks.card import task_card


def shape(value: Any) -> tuple[Any, frozenset[str]]:
    """Returns what a value is made of but for its texts, and the words of these."""
    words: set[str] = set()

    def text(value: str) -> type:
        words.update(re.findall(r"\w+", value))
        return str

    return _taken_apart(value, text, type), frozenset(words)


def work(task: seqio.Task) -> Any:
    """Returns what a task does to its source's examples and how it measures answers.

    Tasks of equal work and features differ in nothing but where the examples are.
    """
    functions = task.preprocessors, task._postprocess_fn, task.metric_fns
    return _taken_apart([*functions, task_card(task).metrics], str, id)


def _taken_apart(
    value: Any, text: Callable[[str], Any], other: Callable[[Any], Any]
) -> Any:
    """Returns the parts of functions and collections, texts and other values changed.

    Functions are the same if their code and all values bound to them are.
    """

    def within(value: Any) -> Any:
        if isinstance(value, str):
            return text(value)
        if isinstance(value, functools.partial):
            return within((value.func, value.args, value.keywords))
        if isinstance(value, types.MethodType):
            return within((value.__func__, value.__self__))
        if isinstance(value, types.FunctionType):
            cells = [cell.cell_contents for cell in value.__closure__ or ()]
            name = value.__module__, value.__qualname__, value.__code__
            return name, within((*cells, value.__defaults__, value.__kwdefaults__))
        if isinstance(value, Mapping):
            return tuple((key, within(value[key])) for key in sorted(value))
        if isinstance(value, set | frozenset):
            return frozenset(map(within, value))
        if isinstance(value, list | tuple):
            return tuple(map(within, value))
        if value is None or isinstance(value, bool | int | float):
            return value
        if type(value).__module__.startswith(("mtmoe.", "seqio.")):
            return type(value), within(vars(value))
        return other(value)

    return within(value)


def suite(task: seqio.Task) -> str:
    """Returns what a task's name begins with."""
    return str(task.name.partition(".")[0])


def representatives(tasks: Iterable[seqio.Task]) -> Iterator[seqio.Task]:
    """Yields tasks until each shape, language and word was in one of them."""
    seen: set[Any] = set()
    for task in tasks:
        form, words = shape((list(task.preprocessors), list(task.metric_fns)))
        language = task_card(task).language
        new = {(suite(task), form), ("language", language), *words} - seen
        if new:
            seen |= new
            yield task
