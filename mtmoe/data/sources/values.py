"""What examples may hold: checked between every source and the tokenizer.

A value is a text or a list of texts, of Unicode that UTF-8 can write, and has the same
form in all examples of a split. Nothing else is turned into text on the way: a null
would be learnt as the word "None".
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import gin
import numpy as np

from mtmoe.errors import ConfigError, CorpusError

_WANTED = "a text or a list of texts is wanted"
_SHOWN = 3


@gin.configurable("bad_examples")
def bad_example_quota(quota: int = 0) -> int:
    """Returns how many bad examples a split may have; gin name `bad_examples`.

    Bad are records of a user's files that cannot be read or made into an example, and
    examples and documents with a value that is no text. Those allowed are left out,
    counted and told; one more is an error.

    Args:
      quota: bad examples that each split of a task may have.

    Raises:
      ConfigError: the quota is no whole number from 0.
    """
    if isinstance(quota, bool) or not isinstance(quota, int) or quota < 0:
        raise ConfigError(
            f"bad_examples.quota is {quota!r}; it must be a whole number from 0: the "
            "bad examples that a split may have"
        )
    return quota


class MadeExampleError(CorpusError):
    """An example that Python made, and that names no file: its task has to be said."""


class ExampleCheck:
    """Checks the examples of one pass over a split.

    Attributes:
      form: by key, whether values are lists; as in the first good example, None before.
    """

    def __init__(self) -> None:
        """Begins before the first example."""
        self.form: dict[str, bool] | None = None

    def problem(self, example: Any) -> str:
        """Returns what is wrong with an example, "" if nothing is."""
        if type(example) is dict and self._is_plain(example):
            return ""
        if not isinstance(example, Mapping):
            return f"the example is {_kind(example)}; a dict of texts is wanted"
        form = {}
        for key, value in example.items():
            if not isinstance(key, str):
                return f"the key {key!r} is no text"
            problem = value_problem(value)
            if problem:
                return f'"{key}" {problem}; {_WANTED}'
            form[key] = not isinstance(value, str)
        if self.form is None:
            self.form = form
        return "" if form == self.form else _difference(form, self.form)

    def _is_plain(self, example: dict[Any, Any]) -> bool:
        """Whether all values are texts of the known keys: the usual case, told fast."""
        form = self.form
        if form is None or len(form) != len(example):
            return False
        for key, value in example.items():
            if type(value) is not str or form.get(key) is not False:
                return False
            if not value.isascii() and text_problem(value):
                return False
        return True


class LeftOut:
    """Counts the bad examples of one pass over a split.

    Attributes:
      count: how many there were.
      first: the first few, each with its place.
    """

    def __init__(self, error: type[CorpusError] = CorpusError):
        """Starts at zero, with the quota as configured.

        Args:
          error: what is raised above the quota.
        """
        self.count = 0
        self.first: list[str] = []
        self._quota = bad_example_quota()
        self._error = error

    def add(self, what: str) -> None:
        """Counts a bad example; `what` has its place and what is wrong with it."""
        self.count += 1
        if len(self.first) < _SHOWN:
            self.first.append(what)

    def settle(self) -> None:
        """Raises an error if there are more than the quota allows."""
        if self.count <= self._quota:
            return
        message = self.first[0]
        if self.count > 1:
            message += f" (the first of {self.count:,} that are bad)"
        if self._quota:
            message += f"; bad_examples.quota allows {self._quota:,}"
        raise self._error(message)

    def tell(self, whose: str) -> None:
        """Says on standard error what was left out, if anything was."""
        if self.count:
            more = self.count - len(self.first)
            print(
                f"{whose}: {self.count:,} bad examples are left out: "
                + "; ".join(self.first)
                + (f"; and {more:,} more" if more else ""),
                file=sys.stderr,
            )


def value_problem(value: Any) -> str:
    """Returns why a value is no text or list of texts, as "is null"; "" if it is."""
    if not isinstance(value, list | tuple):
        return text_problem(value)
    for number, item in enumerate(value, start=1):
        problem = text_problem(item)
        if problem:
            return f"is a list whose item {number} {problem}"
    return ""


def text_problem(value: Any) -> str:
    """Returns why a value is no text that UTF-8 can write, "" if it is one.

    NUL and other control characters are text.
    """
    if not isinstance(value, str):
        return f"is {_kind(value)}"
    if value.isascii():  # known without looking at the letters
        return ""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        half = value[error.start]
        return f"has half a surrogate pair, {half!r}, at character {error.start + 1}"
    return ""


def _kind(value: Any) -> str:
    """Names what is no text in the words of JSON, or else by its type."""
    if value is None:
        return "null"
    if isinstance(value, bool | np.bool_):
        return f"the truth value {str(value).lower()}"
    if isinstance(value, int | float | np.number):
        return f"the number {value}"
    if isinstance(value, bytes | bytearray):
        return "bytes, not yet decoded"
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, str):
        return "a text"
    return f"of type {type(value).__qualname__}"


def _difference(form: Mapping[str, bool], first: Mapping[str, bool]) -> str:
    kinds = {True: "a list", False: "a text"}
    for key in first:
        if key not in form:
            return f'there is no "{key}", which the examples before have'
    for key, is_list in form.items():
        if key not in first:
            return f'"{key}" is none of the keys of the examples before'
        if is_list != first[key]:
            before = kinds[first[key]]
            return f'"{key}" is {kinds[is_list]}, in the examples before {before}'
    raise AssertionError("the forms are the same")
