"""A graph that is a function of any of its tensors."""

import numpy as np
import tensorflow as tf

from mtmoe.mesh import graph_function

SCALAR = tf.TensorSpec([], tf.float32)


def constants(graph):
    return [op for op in graph.get_operations() if op.type == "Const"]


def test_equal_constants_are_one_operation():
    def function(x):
        halves = [tf.reshape(tf.constant(0.5) * x, [1, 1]) for _ in range(3)]
        return [tf.reduce_sum(tf.concat(halves, axis=0), axis=0)]

    graph = graph_function.trace(function, [SCALAR])
    assert len(constants(graph)) == 3  # 0.5, the shape [1, 1], and both axes


def test_constants_differ_by_every_bit_their_dtype_and_their_shape():
    values = [
        np.float32(0.0),
        np.float32(-0.0),
        np.int32(0),
        np.zeros([1], np.float32),
        np.zeros([1, 1], np.float32),
        np.float32(np.nan),
        np.uint32(0x7FC00001).view(np.float32),
    ]

    def function(x):
        del x
        return [tf.identity(tf.constant(value)) for value in values + values]

    graph = graph_function.trace(function, [SCALAR])
    assert len(constants(graph)) == len(values)
    made = graph_function.as_function(graph, graph.inputs, graph.outputs)
    for value, result in zip(values + values, made(tf.constant(1.0)), strict=True):
        assert result.dtype.as_numpy_dtype == value.dtype
        assert result.shape == value.shape
        assert result.numpy().tobytes() == value.tobytes()


def test_a_constant_waits_for_nothing_that_another_who_asks_need_not_have():
    def function(x):
        with tf.control_dependencies([tf.exp(x)]):
            first = tf.constant(2.0)
        return [first + x, tf.constant(2.0) * x]

    graph = graph_function.trace(function, [SCALAR])
    (only,) = constants(graph)
    assert not only.control_inputs


def test_any_tensors_are_arguments_and_results():
    kept = {}

    def function(x):
        kept["argument"] = tf.compat.v1.placeholder(tf.float32, [2])
        kept["result"] = kept["argument"] * x
        return [x + 1.0]

    graph = graph_function.trace(function, [SCALAR])
    made = graph_function.as_function(
        graph, [*graph.inputs, kept["argument"]], [kept["result"], *graph.outputs]
    )
    result, more = made(tf.constant(3.0), tf.constant([1.0, 2.0]))
    np.testing.assert_array_equal(result, [3.0, 6.0])
    assert more.numpy() == 4.0
