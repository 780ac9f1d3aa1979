"""What a task is to the engine: text, finished examples, or a stream of its own.

A task's steps decide alone. Text is cut into rows and made into examples when it is
asked for; examples are trimmed and ended; both come from the token cache. Whatever else
SeqIO can do (random steps after the cache, steps that never meet one) is read through
SeqIO's own pipeline.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import seqio

from mtmoe.data.objectives.objective import TokenObjective
from mtmoe.errors import UnknownNameError

Step = Callable[..., Any]

TEXT, EXAMPLES, STREAM = "text", "examples", "stream"

_ENDS: tuple[tuple[Step, ...], ...] = (
    (),
    (seqio.preprocessors.append_eos,),
    (seqio.preprocessors.append_eos_after_trim,),
)


@dataclass(frozen=True)
class TaskForm:
    """How a task's rows are made.

    Attributes:
      kind: `TEXT` (a stream of raw tokens is cached), `EXAMPLES` (whole examples
        without EOS are cached) or `STREAM` (nothing can be).
      offline: steps that are run once, before the cache; none of a stream's.
      objective: of text, what makes inputs and targets of raw tokens.
      online: steps behind the cache, by SeqIO's own functions: of examples none,
        `append_eos` or `append_eos_after_trim`, of text `append_eos`.
      features: what is cached: `("targets",)` of text; of examples that, or
        `("inputs", "targets")`; none of a stream.
      reason: why the task is a stream, in words; "" if it is not.
    """

    kind: str
    offline: tuple[Step, ...]
    objective: TokenObjective | None
    online: tuple[Step, ...]
    features: tuple[str, ...]
    reason: str


def task_form(task: seqio.Task) -> TaskForm:
    """Returns the form of a task; that of a task seen before is kept with it."""
    known = _FORMS.get(task)
    if known is None:
        known = _FORMS[task] = _form(task)
    return known


_FORMS: weakref.WeakKeyDictionary[seqio.Task, TaskForm] = weakref.WeakKeyDictionary()


def check_split(task: seqio.Task, split: str) -> None:
    """Raises UnknownNameError if a task has no split of that name."""
    if split not in task.splits:
        raise UnknownNameError(f"split of task {task.name!r}", split, task.splits)


def _form(task: seqio.Task) -> TaskForm:
    steps = tuple(task.preprocessors)
    text = _text_form(tuple(step for step in steps if not _is_placeholder(step)))
    if text is not None:
        return text
    places = [number for number, step in enumerate(steps) if _is_placeholder(step)]
    if not places:
        return _stream("it has no seqio.CacheDatasetPlaceholder among its steps")
    offline, online = steps[: places[0]], steps[places[0] + 1 :]
    if online not in _ENDS:
        return _stream(
            "steps other than append_eos or append_eos_after_trim follow its "
            f"seqio.CacheDatasetPlaceholder: {', '.join(map(_step_name, online))}"
        )
    reason = _why_not_tokens(task)
    if reason:
        return _stream(reason)
    features = tuple(n for n in ("inputs", "targets") if n in task.output_features)
    return TaskForm(EXAMPLES, offline, None, online, features, "")


def _text_form(steps: tuple[Step, ...]) -> TaskForm | None:
    if len(steps) < 2 or steps[-1] is not seqio.preprocessors.append_eos:
        return None
    objective = steps[-2]
    if isinstance(objective, type) or not isinstance(objective, TokenObjective):
        return None
    return TaskForm(TEXT, steps[:-2], objective, steps[-1:], ("targets",), "")


def _why_not_tokens(task: seqio.Task) -> str:
    """Returns why a task's features are not one or two lists of tokens, or ""."""
    features = task.output_features
    if "targets" not in features or not set(features) <= {"inputs", "targets"}:
        return f"its features are {', '.join(features)}, not inputs and targets"
    for name, feature in features.items():
        if feature.rank != 1 or not feature.dtype.is_integer:
            return f"its feature {name!r} is no list of tokens"
    return ""


def _stream(reason: str) -> TaskForm:
    return TaskForm(STREAM, (), None, (), (), reason)


def _is_placeholder(step: Step) -> bool:
    return isinstance(step, seqio.CacheDatasetPlaceholder)


def _step_name(step: Step) -> str:
    inner = getattr(step, "func", step)  # of a partial
    return str(getattr(inner, "__name__", type(inner).__name__))
