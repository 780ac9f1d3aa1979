"""Sums over leading dimensions, against numpy's."""

import numpy as np
import pytest
import tensorflow as tf
from oracles.mesh_runner import run_mesh

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.products import exact_products
from mtmoe.mesh.sums import sum_over, sum_to


@pytest.mark.parametrize("is_accelerator", [False, True])
@pytest.mark.parametrize(
    ("shape", "axis"), [((16, 3), 0), ((5, 3), 0), ((4, 8), 1), ((2, 16, 3), 1)]
)
def test_sum_over(shape, axis, is_accelerator):
    x = np.random.default_rng(0).integers(-9, 9, shape).astype(np.float32)
    with exact_products(is_accelerator):
        summed = sum_over(tf.constant(x), axis)
    np.testing.assert_array_equal(summed, x.sum(axis, keepdims=True))


@pytest.mark.parametrize("is_accelerator", [False, True])
def test_sums_are_products_on_a_cpu_alone(is_accelerator):
    """A TPU would round the numbers to bfloat16 before it sums them."""

    @tf.function(input_signature=[tf.TensorSpec([16, 3])])
    def summed(x):
        return sum_over(x, 0)

    with exact_products(is_accelerator):
        kinds = {
            op.type for op in summed.get_concrete_function().graph.get_operations()
        }
    assert ("BatchMatMulV2" in kinds) == (not is_accelerator)


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
