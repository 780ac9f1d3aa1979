"""Ranges in types, and what is told of a number outside."""

import dataclasses
import pickle

import numpy as np
import pytest

from mtmoe.errors import ConfigError, RangeError
from mtmoe.ranges import (
    Between,
    Count,
    Fraction,
    LearningRate,
    Natural,
    NonNegative,
    Positive,
    Range,
    Rate,
    Seed,
    Share,
    check_fields,
    check_number,
    checked,
    range_errors,
    range_of,
)

NAN, INF = float("nan"), float("inf")
ALL = (Between, Count, Fraction, LearningRate, Natural, NonNegative)
ALL += (Positive, Rate, Seed, Share)


@dataclasses.dataclass(frozen=True)
class Settings:
    size: Count
    rate: Rate = 0.0
    limit: Positive | None = None
    lengths: dict[str, Count] = dataclasses.field(default_factory=dict)
    name: str = ""

    def __post_init__(self):
        check_fields(self)


@checked
def made(size: Count, rate: Rate = 0.0, *, name: str = "") -> tuple:
    return size, rate, name


@pytest.mark.parametrize("annotation", ALL)
@pytest.mark.parametrize("value", [NAN, INF, -INF, -1, True, False, "1", 1j, [1], None])
def test_no_range_has_what_is_no_number_of_it(annotation, value):
    with pytest.raises(RangeError):
        check_number("x", value, annotation)


@pytest.mark.parametrize(
    ("annotation", "inside", "outside"),
    [
        (Count, [1, 2**31 - 1, np.int32(7), np.int64(7)], [0, 1.0, 2**31]),
        (Natural, [0, 1], [0.0, -1]),
        (Seed, [0, 2**63 - 1], [2**63]),
        (Rate, [0, 0.999, np.float32(0.5)], [1, 1.0, 1.5, -1e-9]),
        (Fraction, [0, 1, 0.5], [1.0000001, -1e-9]),
        (Share, [1, 1e-9], [0, 0.0, 1.1]),
        (Between, [0.5], [0, 1]),
        (Positive, [1, 1e-30, 1e30], [0, 0.0, 1e-50, 1e38, 10**400]),
        (NonNegative, [0, 1e30], [-1e-30, 1e38]),
        (LearningRate, [0.0, 1e-3, 100], [1e9, -1.0]),
        (Count | None, [1, None], [0]),
        (dict[str, Count], [{}, {"a": 1}], [{"a": 1, "b": 0}]),
        (tuple[Count, ...], [(), (1, 2)], [(1, 0)]),
    ],
)
def test_ends_of_ranges(annotation, inside, outside):
    for value in inside:
        check_number("x", value, annotation)
    for value in outside:
        with pytest.raises(RangeError):
            check_number("x", value, annotation)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Settings(0),
            "Settings.size is 0; it must be a whole number from 1 to ",
        ),
        (
            lambda: Settings(4, 1.0),
            "rate is 1.0; it must be a number at least 0 and be",
        ),
        (lambda: Settings(4, NAN), "Settings.rate is nan; it must be a number at leas"),
        (lambda: Settings(4, limit=0), "a number above 0, from 1e-37 to 1e+37 or None"),
        (
            lambda: Settings(4, lengths={"a": 0}),
            "'a': 0}; it must be for each key a whole num",
        ),
        (lambda: made(0), "made.size is 0; it must be a whole number from 1"),
        (lambda: made(1, rate=-0.5, name="x"), "made.rate is -0.5; it must be"),
    ],
)
def test_an_error_names_the_parameter_and_what_is_allowed(make, message):
    with pytest.raises(ConfigError) as caught:
        make()
    assert message in str(caught.value)


def test_a_checked_function_is_called_as_ever():
    assert made(3, 0.5, name="n") == (3, 0.5, "n")
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        made()
    with pytest.raises(TypeError, match="unexpected keyword argument 'sice'"):
        made(sice=0)


def test_all_errors_of_a_call_can_be_had_at_once():
    errors = range_errors(
        "s", Settings, {"size": 0, "rate": NAN, "name": 1, "other": 2}
    )
    assert [error.name for error in errors] == ["s.size", "s.rate"]


def test_an_error_crosses_processes():
    error = pickle.loads(pickle.dumps(RangeError("a.b", 1.5, "a number")))
    assert (error.name, error.got, error.allowed) == ("a.b", 1.5, "a number")
    assert str(error) == "a.b is 1.5; it must be a number"


def test_the_range_of_a_type():
    assert range_of(Rate) == Range(0.0, 1.0, below=True)
