"""Numbers that are none stop a run and name the last good checkpoint."""

from __future__ import annotations

import numpy as np
import pytest

from mtmoe.train.guard import NonFiniteError, check_metrics, check_variable


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_metrics(bad: float) -> None:
    check_metrics(3, {"loss": 1.0, "gradient_norm": 0.0}, 0)
    with pytest.raises(NonFiniteError, match="step 3: loss is .*step 2 is intact"):
        check_metrics(3, {"loss": bad, "gradient_norm": 0.0}, 2)
    with pytest.raises(NonFiniteError, match="gradient_norm.*No checkpoint"):
        check_metrics(3, {"loss": 1.0, "gradient_norm": bad}, 0)


def test_a_variable() -> None:
    values = np.ones((2, 3), np.float32)
    check_variable(3, 0, "count", np.array([1]))
    check_variable(3, 0, "w", values)
    values[1, 2] = np.nan
    with pytest.raises(NonFiniteError, match="step 3: variable w: 1 of 6 .*step 2"):
        check_variable(3, 2, "w", values)
