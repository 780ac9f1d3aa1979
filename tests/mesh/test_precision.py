"""Names of precisions, and reading one variable in two dtypes."""

import pytest
import tensorflow as tf

from mtmoe.engine.program import MeshProgram
from mtmoe.errors import UnknownNameError
from mtmoe.mesh import initializers
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.precision import named_precision


@pytest.mark.parametrize(
    ("name", "activations", "router"),
    [
        ("float32", tf.float32, tf.float32),
        ("bfloat16_selective", tf.bfloat16, tf.float32),
        ("bfloat16", tf.bfloat16, tf.bfloat16),
    ],
)
def test_names(name, activations, router):
    precision = named_precision(name)
    assert precision.activation_dtype == activations
    assert precision.router_dtype == router


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(UnknownNameError, match="'bfloat'; did you mean bfloat16"):
        MeshProgram(precision="bfloat")


def test_a_variable_is_read_in_one_dtype():
    program = MeshProgram(precision="bfloat16_selective")
    shape = mtf.Shape([mtf.Dimension("d_model", 2)])

    def build(context, features):
        table = context.variable("w", shape, initializers.ones, dtype=tf.float32)
        assert table.dtype == tf.float32
        assert context.variable("v", shape, initializers.ones).dtype == tf.bfloat16
        state = context.variable("s", shape, initializers.ones, trainable=False)
        assert state.dtype == tf.float32
        context.variable("w", shape, initializers.ones)
        return {"w": table}, []

    with pytest.raises(ValueError, match="'w' is read in float32 already.*bfloat16"):
        program.function(build, {}, "reads")
