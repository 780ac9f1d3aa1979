"""Parameters of one checkpoint as the initial values of another program."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from mtmoe.checkpoint import store
from mtmoe.checkpoint.restore import load_initial_values
from mtmoe.engine.program import MeshProgram
from mtmoe.errors import CheckpointError
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.initializers import ones, zeros
from mtmoe.mesh.layout import Layout


def two_matrices(layout: Layout | None = None) -> MeshProgram:
    """A program with parameters `a/w` [2, 3] and `b` [3], and state below them."""

    def build(context, features):
        rows, columns = mtf.Dimension("rows", 2), mtf.Dimension("columns", 3)
        with context.scope("a"):
            w = context.variable("w", [rows, columns], zeros)
        b = context.variable("b", [columns], zeros)
        state = context.variable("a/w/slot", [rows], ones, trainable=False)
        total = mtf.reduce_sum(w) + mtf.reduce_sum(b) + mtf.reduce_sum(state)
        return {"total": total}, []

    program = MeshProgram(layout)
    program.function(build, {"unused": tf.TensorSpec([], tf.int32)}, "sum")
    return program


def values() -> dict[str, np.ndarray]:
    return {
        "a/w": np.arange(6, dtype=np.float32).reshape(2, 3),
        "b": np.array([7, 8, 9], np.float32),
    }


@pytest.mark.parametrize("layout", [None, Layout("model:2", "rows:model")])
def test_parameters_are_set_and_the_optimizer_starts_afresh(
    tmp_path: Path, layout: Layout | None
) -> None:
    # A whole run's checkpoint, of another optimizer; the newest one counts.
    others = {"a/w/adafactor_vr": np.full([2], 5, np.float32), "b/m": np.ones([3])}
    store.save(tmp_path / "checkpoints", 3, {"a/w": np.zeros([9])}, {})
    store.save(tmp_path / "checkpoints", 12, values() | others, {})
    program = two_matrices(layout)
    assert load_initial_values(tmp_path, program) == 12
    after = program.variables()
    assert after.keys() == {"a/w", "b", "a/w/slot"}
    for name, value in values().items():
        np.testing.assert_array_equal(after[name], value)
    np.testing.assert_array_equal(after["a/w/slot"], [1, 1])


def test_all_that_differs_is_named_and_nothing_set(tmp_path: Path) -> None:
    given = {"a/w": np.ones([2, 4], np.float32), "c": np.ones([3], np.float32)}
    store.save(tmp_path / "checkpoints", 0, given, {})
    program = two_matrices()
    before = program.variables()
    with pytest.raises(CheckpointError) as raised:
        load_initial_values(tmp_path, program)
    for part in (
        "step 0 of",
        "b is missing there",
        "c is unknown here",
        "a/w has shape (2, 4) there, (2, 3) here",
    ):
        assert part in str(raised.value)
    for name, value in program.variables().items():
        np.testing.assert_array_equal(value, before[name])


def test_long_lists_are_cut(tmp_path: Path) -> None:
    given = values() | {f"x{i}": np.ones([1], np.float32) for i in range(8)}
    store.save(tmp_path / "checkpoints", 0, given, {})
    with pytest.raises(CheckpointError, match=r"x4 is unknown here\n  and 3 more$"):
        load_initial_values(tmp_path, two_matrices())


def test_a_folder_without_checkpoints(tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r"train\.initial_checkpoint: .* no check"
    ):
        load_initial_values(tmp_path, two_matrices())
