"""What users' functions raise and give, and how they are named."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import seqio

from mtmoe.data.ground.user_code import (
    described,
    function_name,
    is_users,
    metric_values,
)
from mtmoe.errors import UserCodeError


def given(value):
    return metric_values("t", lambda targets, predictions: value, ["a"], ["a"])


def test_numbers_of_every_kind_and_what_seqio_shows_otherwise():
    values = {
        "a": 1,
        "b": np.float32(0.5),
        "c": np.array(2.0),
        "d": seqio.metrics.Scalar(3.0),
        "text": seqio.metrics.Text("shown elsewhere"),
    }
    assert given(values) == {"a": 1.0, "b": 0.5, "c": 2.0, "d": 3.0}


@pytest.mark.parametrize("value", [3, None, [("a", 1.0)], {"a": [1.0]}, {"a": "1"}])
def test_what_is_no_dict_of_numbers(value):
    with pytest.raises(UserCodeError, match="a dict of names and numbers is wanted"):
        given(value)


def test_functions_are_named_with_their_place():
    def own():
        pass

    line = own.__code__.co_firstlineno
    named = f"test_functions_are_named_with_their_place.own ({__file__}:{line})"
    assert function_name(own) == function_name(functools.partial(own)) == named
    assert function_name(seqio.preprocessors.tokenize) == "tokenize"
    assert is_users(__file__) and not is_users(functools.__file__)


def test_an_error_in_one_line():
    try:
        raise ValueError("first\nsecond " * 100)
    except ValueError as error:
        line = error.__traceback__.tb_lineno
        assert described(error) == f"ValueError: first ({__file__}:{line})"
    assert described(KeyError("x")) == "KeyError: 'x'"
    assert described(RuntimeError()) == "RuntimeError"
