"""Scores of different kinds of labels are never averaged together."""

from __future__ import annotations

import pytest

from mtmoe.evaluate.headline import headline_tasks


@pytest.mark.parametrize(
    ("labels", "chosen"),
    [
        ({"a": "self", "b": "gold", "c": "", "d": "rule"}, ["a", "c"]),
        ({"b": "gold", "d": "rule"}, ["b"]),
        ({"d": "rule"}, ["d"]),
        ({}, []),
    ],
)
def test_one_kind_at_a_time(labels, chosen):
    assert headline_tasks(labels) == chosen
