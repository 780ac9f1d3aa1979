"""Sums over leading dimensions, against numpy's."""

import numpy as np
import pytest
import tensorflow as tf
from oracles.mesh_runner import run_mesh

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.sums import sum_over, sum_to


@pytest.mark.parametrize(("shape", "axis"), [((16, 3), 0), ((5, 3), 0), ((4, 8), 1)])
def test_sum_over(shape, axis):
    x = np.random.default_rng(0).integers(-9, 9, shape).astype(np.float32)
    summed = sum_over(tf.constant(x), axis)
    np.testing.assert_array_equal(summed, x.sum(axis, keepdims=True))


@pytest.mark.parametrize(
    ("mesh_shape", "layout_rules"),
    [("", ""), ("batch:2;model:2", "rows:batch;columns:model")],
)
def test_sum_to_on_any_layout(mesh_shape, layout_rules):
    x = np.random.default_rng(1).integers(-9, 9, (4, 6, 8)).astype(np.float32)
    rows, length, columns = map(mtf.Dimension, ("rows", "length", "columns"), x.shape)

    def build(context, arrays):
        tensor = context.import_tensor(arrays["x"], [rows, length, columns])
        return {
            "one": sum_to(tensor, [columns]),
            "two": sum_to(tensor, [length, columns]),
        }

    outputs = run_mesh(build, {"x": x}, mesh_shape, layout_rules)
    np.testing.assert_array_equal(outputs["one"], x.sum((0, 1)))
    np.testing.assert_array_equal(outputs["two"], x.sum(0))


def test_other_dimensions_than_the_last_are_refused():
    mesh = mtf.Mesh(mtf.Graph(), "mesh")
    rows, columns = mtf.Dimension("rows", 2), mtf.Dimension("columns", 3)
    x = mtf.zeros(mesh, [rows, columns])
    with pytest.raises(ValueError, match="not the last"):
        sum_to(x, [rows])
