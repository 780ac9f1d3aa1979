"""Rows for a decoder alone hold inputs, then targets, and values come back in place."""

from __future__ import annotations

import numpy as np
import pytest

from mtmoe.data.evaluation.examples import EvaluationExamples
from mtmoe.evaluate.joined_rows import join_rows

EXAMPLES = EvaluationExamples(
    inputs=np.array([[5, 0, 6, 0], [0, 0, 0, 0], [1, 2, 3, 4], [0, 0, 0, 0]], np.int32),
    targets=np.array([[7, 8, 0], [9, 9, 9], [8, 0, 0], [0, 0, 0]], np.int32),
    target_bytes=np.zeros((4, 3), np.int32),
    group=np.arange(4, dtype=np.int32),
)


def test_targets_stand_directly_behind_inputs() -> None:
    features = join_rows(EXAMPLES, 6).features
    # Token 0 between others is a token like any other.
    assert features["targets"].tolist() == [
        [5, 0, 6, 7, 8, 0],
        [9, 9, 9, 0, 0, 0],
        [1, 2, 3, 4, 8, 0],
        [0, 0, 0, 0, 0, 0],
    ]
    assert features["targets_segments"].sum(axis=1).tolist() == [5, 3, 5, 0]
    assert features["targets_prefix"].sum(axis=1).tolist() == [3, 0, 4, 0]
    assert features["targets_loss_weights"].tolist() == [
        [0, 0, 0, 1, 1, 0],
        [1, 1, 1, 0, 0, 0],
        [0, 0, 0, 0, 1, 0],
        [0, 0, 0, 0, 0, 0],
    ]


def test_values_come_back_to_the_places_of_the_targets() -> None:
    joined = join_rows(EXAMPLES, 6)
    values = np.arange(24.0).reshape(4, 6) + 1
    assert joined.of_targets(values, 3).tolist() == [
        [4, 5, 0],
        [7, 8, 9],
        [17, 0, 0],
        [0, 0, 0],
    ]
    ids = joined.of_targets(joined.features["targets"], 3)
    np.testing.assert_array_equal(ids, EXAMPLES.targets)


def test_an_example_too_long_is_an_error() -> None:
    with pytest.raises(ValueError, match="5 tokens of an example in a row of 4"):
        join_rows(EXAMPLES, 4)
