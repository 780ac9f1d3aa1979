"""Functions that come from the user: what they raise or give becomes one line.

A metric, a postprocessor, a step, a function that makes examples: each may fail in any
way. The line has what was raised, the function, and the file and line of the user's
that raised it.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import re
import sysconfig
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import seqio

from mtmoe.errors import MtmoeError, UserCodeError

_PACKAGE = str(Path(__file__).parents[2])
_LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "purelib")})
_MOST_LETTERS = 300

# Python raised inside of TensorFlow comes as text: a traceback in the message.
_FILE_LINE = re.compile(r'File "([^"]+)", line (\d+), in (\S+)')
_RAISED = re.compile(r"^\s*([A-Za-z_][\w.]*): (.*)$", re.MULTILINE)
_GRAPH_PLACES = re.compile(r"\{\{[^}]*\}\}\s*|\s*\[Op:[^\]]*\].*$|\s*\[\[.*")


@contextlib.contextmanager
def calling(what: str, function: Any, task: str) -> Iterator[None]:
    """Surrounds the call of a user's function.

    Args:
      what: what the function is, e.g. "metric".
      function: the function.
      task: name of its task.

    Raises:
      UserCodeError: it raised anything but an error of ours.
    """
    try:
        yield
    except MtmoeError:
        raise
    except Exception as error:
        raise UserCodeError(
            f"task {task!r}: the {what} {function_name(function)} raised "
            f"{described(error)}"
        ) from error


def metric_values(
    task: str,
    function: Callable[..., Any],
    targets: Sequence[Any],
    answers: Sequence[Any],
) -> dict[str, float]:
    """Calls a metric function and returns the numbers it gives.

    Values that SeqIO shows in other ways (text, images, histograms) are left out.

    Args:
      task: name of its task.
      function: function of (targets, predictions) or (targets, scores).
      targets: what should have been predicted.
      answers: the predictions, or the scores.

    Raises:
      UserCodeError: it raised something, or gave no dict of names and numbers.
    """
    with calling("metric", function, task):
        given = function(targets, answers)
    if not isinstance(given, Mapping):
        raise _not_usable(task, function, f"gave {_shown(given)}")
    values = {}
    for name, value in given.items():
        if not isinstance(name, str):
            raise _not_usable(task, function, f"names a value {_shown(name)}")
        if isinstance(value, seqio.metrics.MetricValue):
            if not isinstance(value, seqio.metrics.Scalar):
                continue
            value = value.value
        if not _is_number(value):
            raise _not_usable(task, function, f"gave {name!r} as {_shown(value)}")
        values[name] = float(value)
    return values


def postprocessed(
    task: seqio.Task, text: str, example: Mapping[str, Any], is_target: bool
) -> Any:
    """Returns what a task's postprocessor makes of a text.

    Raises:
      UserCodeError: it raised something.
    """
    with calling("postprocessor", task._postprocess_fn, task.name):
        return task.postprocess_fn(text, example=example, is_target=is_target)


def described(error: BaseException) -> str:
    """Returns type and message of an error in one line, and where a user's code is."""
    kind, message = type(error).__name__, str(error).strip()
    if isinstance(error, SyntaxError):
        message = error.msg
    if _FILE_LINE.search(message):
        raised = [match.groups() for match in _RAISED.finditer(message)]
        if raised:
            kind, message = raised[-1]
    message = _GRAPH_PLACES.sub("", message).strip()
    first = message.splitlines()[0].strip() if message else ""
    if len(first) > _MOST_LETTERS:
        first = first[:_MOST_LETTERS] + "..."
    place = raised_at(error)
    kind = kind.rpartition(".")[2]
    return kind + (f": {first}" if first else "") + (f" ({place})" if place else "")


def raised_at(error: BaseException) -> str:
    """Returns file and line of the user's that raised an error, "" if none did.

    The line is the innermost that is neither of Python, nor of an installed package,
    nor of mtmoe.
    """
    frames = traceback.extract_tb(error.__traceback__)
    places = [(frame.filename, frame.lineno or 0) for frame in frames]
    if isinstance(error, SyntaxError) and error.filename:
        places.append((error.filename, error.lineno or 0))
    inside = _FILE_LINE.findall(str(error))
    places += [(path, int(line)) for path, line, _ in inside]
    own = [f"{path}:{line}" for path, line in places if is_users(path)]
    return own[-1] if own else ""


def functions_in(error: BaseException) -> set[str]:
    """Returns the names of the functions that were running when an error was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    inside = {name for _, _, name in _FILE_LINE.findall(str(error))}
    return {frame.name for frame in frames} | inside


def is_users(path: str) -> bool:
    """Whether a file of code is neither Python's, nor a package's, nor mtmoe's."""
    if path.startswith("<") or "autograph_generated" in path:
        return False
    return not path.startswith((*_LIBRARIES, _PACKAGE)) and (
        "site-packages" not in path and "dist-packages" not in path
    )


def function_name(function: Any) -> str:
    """Returns a function's name, with file and line where it is a user's own."""
    inner = _innermost(function)
    name = getattr(inner, "__qualname__", type(inner).__qualname__)
    name = name.replace("<lambda>", "lambda").replace("<locals>.", "")
    code = getattr(inner, "__code__", None)
    if code is None:
        code = getattr(type(inner).__call__, "__code__", None)
    if code is None or not is_users(code.co_filename):
        return name
    return f"{name} ({code.co_filename}:{code.co_firstlineno})"


def _innermost(function: Any) -> Any:
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.unwrap(function) if callable(function) else function


def _not_usable(task: str, function: Callable[..., Any], what: str) -> UserCodeError:
    return UserCodeError(
        f"task {task!r}: the metric {function_name(function)} {what}; a dict of names "
        'and numbers is wanted, such as {"accuracy": 87.5}'
    )


def _is_number(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.ndim == 0 and np.issubdtype(value.dtype, np.number)
    return isinstance(value, int | float | np.number)


def _shown(value: Any) -> str:
    text = repr(value)
    if len(text) > 40:
        text = text[:40] + "..."
    return f"{text} of type {type(value).__qualname__}"
