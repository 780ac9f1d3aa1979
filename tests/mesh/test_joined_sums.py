"""Sums that are made together are the sums made apart, whatever their shapes."""

from __future__ import annotations

import re

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.mesh_runner import run_mesh, stablehlo_text

from mtmoe.engine.program import MeshProgram
from mtmoe.mesh import joined_sums as module
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.joined_sums import joined_sums
from mtmoe.mesh.layout import Layout

LAYOUT = ("data:2;model:2", "rows:data;columns:model")
ROWS, COLUMNS = mtf.Dimension("rows", 4), mtf.Dimension("columns", 2)


def whole(shape, seed):
    """Whole numbers, whose sums are exact in any order."""
    return np.random.default_rng(seed).integers(-9, 9, shape).astype(np.float32)


def kept(sizes):
    return [mtf.Dimension(f"kept_{axis}", size) for axis, size in enumerate(sizes)]


@settings(max_examples=6)
@given(
    st.lists(
        st.tuples(
            st.lists(st.integers(1, 3), max_size=3),
            st.sampled_from(["rows", "columns", "both", "neither"]),
            st.sampled_from(["float32", "bfloat16"]),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_any_tensors(cases):
    """Summed over one axis of the mesh, over two or none, of two dtypes."""
    summed = {"rows": [ROWS], "columns": [COLUMNS], "both": [ROWS, COLUMNS]}
    arrays = {
        f"x{number}": whole([4, 2, *sizes], number)
        for number, (sizes, _, _) in enumerate(cases)
    }

    def build(context, features):
        sums = []
        for (sizes, over, dtype), feature in zip(cases, features.values(), strict=True):
            x = context.import_tensor(feature, [ROWS, COLUMNS, *kept(sizes)])
            x = mtf.cast(x, tf.as_dtype(dtype))
            left = [d for d in x.shape.dims if d not in summed.get(over, [])]
            sums.append(mtf.reduce_sum(x, output_shape=left))
        joined = joined_sums(sums)
        return {
            f"y{number}": mtf.cast(total, tf.float32)
            for number, total in enumerate(joined)
        }

    outputs = run_mesh(build, arrays, *LAYOUT)
    axes = {"rows": (0,), "columns": (1,), "both": (0, 1), "neither": ()}
    for number, (_, over, _) in enumerate(cases):
        expected = arrays[f"x{number}"].sum(axes[over])
        np.testing.assert_array_equal(outputs[f"y{number}"], expected)


def collectives(sizes):
    """Elements that each all-reduce of a sum of vectors sends."""
    program = MeshProgram(Layout("data:2", "rows:data"), seed=0)

    def build(context, features):
        sums = [
            mtf.reduce_sum(
                context.import_tensor(feature, [ROWS, *kept([size])]),
                output_shape=kept([size]),
            )
            for size, feature in zip(sizes, features.values(), strict=True)
        ]
        return {f"y{n}": x for n, x in enumerate(joined_sums(sums))}, []

    signature = {
        f"x{n}": tf.TensorSpec([4, size], tf.float32) for n, size in enumerate(sizes)
    }
    function = program.function(build, signature, "sums")
    text = stablehlo_text(function.program)
    sent = re.findall(r"stablehlo\.all_reduce.*?-> tensor<(\d+)xf32>", text, re.DOTALL)
    return sorted(map(int, sent))


def test_small_ones_are_one_collective_and_large_ones_their_own(monkeypatch):
    monkeypatch.setattr(module, "LARGEST", 10)
    assert collectives([3, 4, 10, 11]) == [11, 17]


def test_one_alone_is_not_copied():
    assert collectives([5]) == [5]


def test_gradients_pass():
    x = whole([4, 2], 0)

    def build(context, features):
        tensor = context.import_tensor(features["x"], [ROWS, COLUMNS])
        sums = [
            mtf.reduce_sum(tensor * (n + 1.0), output_shape=[COLUMNS]) for n in range(3)
        ]
        first, second, _ = joined_sums(sums)
        objective = mtf.reduce_sum(first * second)
        return {"gradient": mtf.gradients([objective], [tensor])[0]}

    gradient = run_mesh(build, {"x": x}, *LAYOUT)["gradient"]
    np.testing.assert_array_equal(gradient, np.tile(4 * x.sum(0), (4, 1)))


@pytest.mark.parametrize("tensors", [[], ()])
def test_none_are_none(tensors):
    assert joined_sums(tensors) == []
