"""One place of a dimension, written and read, against numpy."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from mtmoe.engine.program import MeshProgram
from mtmoe.errors import LayoutError
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.layout import Layout
from mtmoe.mesh.update import take_at, write_at

SIZES = {"batch": 4, "heads": 2, "length": 5, "d_kv": 3}


def run(program, axis, position):
    dims = [mtf.Dimension(name, size) for name, size in SIZES.items()]
    dim = dims[axis]
    shape = mtf.Shape(dims)
    one = mtf.Shape([mtf.Dimension(d.name, 1) if d == dim else d for d in dims])

    def build(context, features):
        x = context.import_tensor(features["x"], shape)
        value = context.import_tensor(features["value"], one)
        place = context.import_tensor(features["position"], mtf.Shape([]))
        return {
            "written": write_at(x, value, dim, place),
            "taken": take_at(x, dim, place),
        }, []

    generator = np.random.default_rng(0)
    x = generator.normal(size=[d.size for d in shape]).astype(np.float32)
    value = generator.normal(size=[d.size for d in one]).astype(np.float32)
    signature = {
        "x": tf.TensorSpec(x.shape, tf.float32),
        "value": tf.TensorSpec(value.shape, tf.float32),
        "position": tf.TensorSpec([], tf.int32),
    }
    function = program.function(build, signature, "update")
    outputs = function(0, x=x, value=value, position=position)
    index = [slice(None)] * 4
    index[axis] = slice(position, position + 1)
    written = x.copy()
    written[tuple(index)] = value
    np.testing.assert_array_equal(outputs["written"], written)
    np.testing.assert_array_equal(outputs["taken"], x[tuple(index)])


@pytest.mark.parametrize(
    "layout", [Layout(), Layout("batch:2;model:2", "batch:batch;heads:model")]
)
def test_one_place_is_written_and_read(layout):
    program = MeshProgram(layout)
    for axis, position in ((2, 0), (2, 4), (3, 1)):
        run(program, axis, position)


def test_the_last_and_the_first_dimension():
    program = MeshProgram()
    run(program, 0, 3)
    run(program, 3, 2)


def test_a_split_dimension_is_refused():
    program = MeshProgram(Layout("batch:2", "batch:batch"))
    with pytest.raises(LayoutError, match="cannot be split|does not divide"):
        run(program, 0, 1)
