"""Means of checkpoints: exact, of one model, in little memory."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtmoe.checkpoint import store
from mtmoe.checkpoint.pieces import rows_of
from mtmoe.errors import CheckpointError
from mtmoe.surgery import average
from mtmoe.surgery.average import average_checkpoints


def write(folder: Path, *steps: dict[str, np.ndarray]) -> Path:
    folder.mkdir()
    (folder / "config.gin").write_text("")
    for step, values in enumerate(steps, start=1):
        store.save(folder / "checkpoints", step, values, {"imported": {"a": 1}})
    return folder


def test_sums_are_in_float64(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(average, "_PART", 5)  # rows are taken one by one
    generator = np.random.default_rng(0)
    steps = [generator.normal(size=(7, 4)).astype(np.float32) * 1e8 for _ in range(3)]
    half = np.array([1.0, 3.0], ml_dtypes.bfloat16)
    model = write(
        tmp_path / "m", *({"w": w, "half": half, "n": 3 * w[0, :0]} for w in steps)
    )
    done = average_checkpoints(model, [1, 2, 3], tmp_path / "mean")
    assert (done.step, done.parameters, done.left_out) == (3, 30, 0)
    mean = store.load(tmp_path / "mean" / "checkpoints", 3)
    exact = np.mean([w.astype(np.float64) for w in steps], axis=0)
    np.testing.assert_array_equal(mean.values["w"], exact.astype(np.float32))
    assert mean.values["half"].dtype == ml_dtypes.bfloat16
    np.testing.assert_array_equal(mean.values["half"], half)
    assert mean.metadata["imported"] == {"a": 1}


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({"w": np.ones(3, np.float32)}, r"not of one model: w is \(\(2,\), 'float32'"),
        ({"v": np.ones(2, np.float32)}, "v is missing in the first"),
    ],
)
def test_other_models_are_refused(tmp_path: Path, second: dict, message: str) -> None:
    model = write(tmp_path / "m", {"w": np.ones(2, np.float32)}, second)
    with pytest.raises(CheckpointError, match=message):
        average_checkpoints(model, [1, 2], tmp_path / "mean")
    assert not (tmp_path / "mean").exists()


def test_whole_numbers_must_agree(tmp_path: Path) -> None:
    model = write(tmp_path / "m", *({"n": np.array([n])} for n in (1, 1, 2)))
    average_checkpoints(model, [1, 2], tmp_path / "mean")
    with pytest.raises(CheckpointError, match="n is of whole numbers"):
        average_checkpoints(model, [1, 3], tmp_path / "other")


def test_infinite_weights_are_refused(tmp_path: Path) -> None:
    bad = np.array([np.inf, 1], np.float32)
    model = write(tmp_path / "m", {"w": np.ones(2, np.float32)}, {"w": bad})
    with pytest.raises(CheckpointError, match="step_2: tensor w: 1 of 2"):
        average_checkpoints(model, [1, 2], tmp_path / "mean")


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 6), max_size=3).map(tuple),
    st.integers(1, 20),
)
def test_rows_fill_a_variable(shape: tuple[int, ...], elements: int) -> None:
    seen = np.zeros(shape, int)
    for begin, size in rows_of(shape, elements):
        seen[tuple(slice(b, b + s) for b, s in zip(begin, size, strict=True))] += 1
        assert np.prod(size) <= max(elements, np.prod(shape[1:]))
    assert (seen == 1).all()
