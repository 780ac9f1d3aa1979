"""Which numbers a parameter may have: said in its type, checked when it is set.

    @dataclasses.dataclass(frozen=True)
    class Sampling:
        temperature: Positive = 1.0
        top_k: Natural = 0

        def __post_init__(self) -> None:
            check_fields(self)

A function says it in its signature and is decorated with `checked`. NaN is in no range
and infinity in none; a bool is no number, and 3.0 is no whole number.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import numbers
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, ParamSpec, TypeVar

from mtmoe.errors import RangeError

_P = ParamSpec("_P")
_R = TypeVar("_R")

# XLA and Mesh TensorFlow count in int32. Computing is in float32, which ends at 1e-38
# and at 3e38; beyond, a number would become 0 or infinite without a word.
_MOST_COUNT = 2**31 - 1
_TINY, _HUGE = 1e-37, 1e37


@dataclasses.dataclass(frozen=True)
class Range:
    """An interval of numbers.

    Attributes:
      low: its lower end.
      high: its upper end.
      whole: whether it holds whole numbers alone.
      above: whether `low` itself is left out.
      below: whether `high` itself is left out.
    """

    low: float
    high: float
    whole: bool = False
    above: bool = False
    below: bool = False

    def __contains__(self, value: object) -> bool:
        """Whether a value is a number of the range; NumPy's numbers are numbers too."""
        kind = numbers.Integral if self.whole else numbers.Real
        if isinstance(value, bool) or not isinstance(value, kind):
            return False
        number: Any = value
        # Written so that NaN fails both.
        is_above = self.low < number if self.above else self.low <= number
        is_below = number < self.high if self.below else number <= self.high
        return bool(is_above and is_below)

    def __str__(self) -> str:
        """Returns what completes "it must be"."""
        noun = "a whole number" if self.whole else "a number"
        if self.low == _TINY:
            noun += " above 0,"
        if not self.above and not self.below:
            return f"{noun} from {_written(self.low)} to {_written(self.high)}"
        lower = f"{'above' if self.above else 'at least'} {_written(self.low)}"
        upper = f"{'below' if self.below else 'at most'} {_written(self.high)}"
        return f"{noun} {lower} and {upper}"


Count = Annotated[int, Range(1, _MOST_COUNT, whole=True)]
"""How many there are, at least one: sizes, steps, layers."""

Natural = Annotated[int, Range(0, _MOST_COUNT, whole=True)]
"""A count that may be 0."""

Seed = Annotated[int, Range(0, 2**63 - 1, whole=True)]
"""What keys random numbers."""

Amount = Annotated[int, Range(0, 2**63 - 1, whole=True)]
"""Examples, tokens or characters of a data set, which are more than int32 counts."""

Positive = Annotated[float, Range(_TINY, _HUGE)]
"""Above 0, and neither 0 nor infinite in float32."""

NonNegative = Annotated[float, Range(0.0, _HUGE)]
"""A weight or penalty: 0 for none."""

Fraction = Annotated[float, Range(0.0, 1.0)]
"""A share: none, all, or between."""

Rate = Annotated[float, Range(0.0, 1.0, below=True)]
"""A probability of dropping, or a decay: 1 would leave nothing, and divide by 0."""

Share = Annotated[float, Range(0.0, 1.0, above=True)]
"""A share that may be all, and must be some."""

Between = Annotated[float, Range(0.0, 1.0, above=True, below=True)]
"""Neither none nor all."""

LearningRate = Annotated[float, Range(0.0, 100.0)]
"""Base of a learning rate: T5's is 1, before a schedule divides by the root of the step
and the optimizer multiplies by a parameter's scale. 0 leaves the weights alone."""


def check_number(name: str, value: object, annotation: Any) -> None:
    """Checks a value against the ranges of its type.

    Args:
      name: what it is, as in `EncoderDecoder.dropout_rate` or `--tokens`.
      value: the value; a mapping or sequence, where the type is one.
      annotation: the type: one of this module, or made of them (`Count | None`,
        `dict[str, Count]`).

    Raises:
      RangeError: it is outside.
    """
    if allowed := _allowed_instead(value, annotation):
        raise RangeError(name, value, allowed)


def check_fields(instance: object, owner: str = "") -> None:
    """Checks the fields of a dataclass; called in its `__post_init__`.

    Args:
      instance: the object.
      owner: what gin calls it, if not by the name of its class.

    Raises:
      RangeError: a field is outside its range.
    """
    kind = type(instance)
    for error in range_errors(owner or kind.__name__, kind, vars(instance)):
        raise error


def checked(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Makes a function check its arguments against the ranges in its signature.

    Returns:
      The function, which then also raises RangeError.
    """

    @functools.wraps(function)
    def check_and_call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            given = inspect.signature(function).bind_partial(*args, **kwargs).arguments
        except TypeError:  # the call below says it best
            given = {}
        for error in range_errors(function.__name__, function, given):
            raise error
        return function(*args, **kwargs)

    # gin asks for parameters without following `__wrapped__`.
    check_and_call.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    return check_and_call


def range_errors(
    owner: str, configurable: Callable[..., Any], values: Mapping[str, Any]
) -> list[RangeError]:
    """Returns an error for each value that is outside its parameter's range.

    Args:
      owner: what gin calls the function or class.
      configurable: the function or dataclass.
      values: values by parameter; those of no parameter with a range are passed over.
    """
    return [
        RangeError(f"{owner}.{name}", values[name], allowed)
        for name, annotation in ranged_parameters(configurable).items()
        if name in values and (allowed := _allowed_instead(values[name], annotation))
    ]


@functools.cache
def ranged_parameters(configurable: Callable[..., Any]) -> Mapping[str, Any]:
    """Returns the types of those parameters that have a range.

    Args:
      configurable: a function or class; the fields of a dataclass are its parameters.
    """
    described = configurable
    if inspect.isclass(configurable) and not dataclasses.is_dataclass(configurable):
        described = configurable.__init__
    hints = typing.get_type_hints(inspect.unwrap(described), include_extras=True)
    return {name: hint for name, hint in hints.items() if any(_ranges(hint))}


def range_of(annotation: Any) -> Range:
    """Returns the range of a type of this module, such as `Positive`."""
    return next(iter(_ranges(annotation)))


def _ranges(annotation: Any) -> Iterable[Range]:
    """The ranges of a type and of what it is made of."""
    for part in getattr(annotation, "__metadata__", ()):
        if isinstance(part, Range):
            yield part
    for part in typing.get_args(annotation):
        yield from _ranges(part)


def _allowed_instead(value: Any, annotation: Any) -> str:
    """What the value must be instead; "" if it is well, or its type has no range."""
    if hasattr(annotation, "__metadata__"):
        return next((str(r) for r in _ranges(annotation) if value not in r), "")
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in parts:
            return ""
        wanted = [_allowed_instead(value, p) for p in parts if p is not type(None)]
        none = " or None" if type(None) in parts else ""
        return "" if "" in wanted else " or ".join(wanted) + none
    if not parts:
        return ""
    if isinstance(value, Mapping):
        what, of, members = "key", parts[-1], list(value.values())
    elif isinstance(value, list | tuple):
        what, of, members = "member", parts[0], list(value)
    else:
        return ""
    texts = (_allowed_instead(member, of) for member in members)
    return next((f"for each {what} {text}" for text in texts if text), "")


def _written(number: float) -> str:
    return f"{number:,}" if isinstance(number, int) else f"{number:g}"
