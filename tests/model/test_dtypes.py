"""Which dtype everything has inside a training step, in each precision."""

import functools

import numpy as np
import pytest
import tensorflow as tf
from oracles.model_runner import random_batch, segmented, tiny_model

from mtmoe.engine.program import MeshProgram
from mtmoe.mesh.compat import mtf
from mtmoe.train.optimizers.adafactor import Adafactor
from mtmoe.train.schedules import constant_learning_rate
from mtmoe.train.step import train_step_builder

ACTIVATIONS = {
    "float32": tf.float32,
    "bfloat16_selective": tf.bfloat16,
    "bfloat16": tf.bfloat16,
}
ROUTER = {**ACTIVATIONS, "bfloat16_selective": tf.float32}
BATCH = segmented(random_batch())


class Recorded:
    """Adafactor, and what was seen on the way to it."""

    def __init__(self):
        self.gradients = {}
        self.operations = []

    def updates(self, context, gradients, learning_rate):
        self.gradients = {variable.name: grad for variable, grad in gradients}
        self.operations = list(context.mesh.graph.operations)
        return Adafactor().updates(context, gradients, learning_rate)

    def users(self, name):
        """Operations that take a variable whose name ends in `name`, but updates."""
        return [
            operation
            for operation in self.operations
            for tensor in operation.inputs
            if isinstance(tensor.operation, mtf.Variable)
            and tensor.operation.name.endswith(name)
        ]


@functools.cache
def build(precision):
    """A step of a model that has a dense layer and one of experts, made once."""
    program = MeshProgram(precision=precision)
    recorded, graphs = Recorded(), []
    model = tiny_model(num_encoder_layers=1, tied_embeddings=True)
    inner = train_step_builder(model, recorded, constant_learning_rate, 0)

    def outer(context, features):
        graphs.append(tf.compat.v1.get_default_graph())
        outputs, updates = inner(context, features)
        assert {output.dtype for output in outputs.values()} == {tf.float32}
        return outputs, updates

    signature = {
        name: tf.TensorSpec(array.shape, array.dtype) for name, array in BATCH.items()
    }
    step = program.function(outer, signature, "step", training=True)
    return program, step, recorded, graphs[0]


@pytest.fixture(name="built", scope="module", params=ACTIVATIONS)
def _built(request):
    return request.param, *build(request.param)


def dtypes(operation):
    tensors = [*operation.inputs, *operation.outputs]
    return {tensor.dtype for tensor in tensors if tensor.dtype.is_floating}


def test_router_experts_and_logits(built):
    precision, _, _, recorded, _ = built
    activations, router = ACTIVATIONS[precision], ROUTER[precision]
    uses = recorded.users("/router")
    assert uses and all(dtypes(use) == {router} for use in uses)
    for name in ("experts/wi", "experts/wo", "self_attention/q", "cross_attention/o"):
        uses = recorded.users(name)
        assert uses and all(dtypes(use) == {activations} for use in uses), name
    uses = recorded.users("embedding")  # the lookup and the logits, and their gradients
    assert len(uses) >= 3 and all(dtypes(use) == {tf.float32} for use in uses)


def test_tokens_travel_in_the_activations_dtype(built):
    precision, _, _, recorded, _ = built
    capacity = [
        tensor
        for operation in recorded.operations
        for tensor in operation.outputs
        if {"expert_capacity", "d_model"} <= set(tensor.shape.dimension_names)
    ]
    assert capacity
    assert {tensor.dtype for tensor in capacity} == {ACTIVATIONS[precision]}


def test_gradients_have_the_dtype_their_variable_is_read_in(built):
    precision, _, _, recorded, _ = built
    assert recorded.gradients["embedding"].dtype == tf.float32
    for name, gradient in recorded.gradients.items():
        wanted = ACTIVATIONS[precision]
        if name == "embedding":
            wanted = tf.float32
        elif name.endswith("/router"):
            wanted = ROUTER[precision]
        assert gradient.dtype == wanted, name


def test_what_needs_digits_is_float32_inside(built):
    """Norms and softmax, and the logarithm of the loss."""
    precision, _, _, _, graph = built
    seen = set()
    for operation in graph.get_operations():
        if operation.type in ("Pow", "Softmax", "Log", "Exp"):
            seen.add(operation.type)
            if precision != "bfloat16":  # there the router has its own softmax
                assert operation.outputs[0].dtype == tf.float32, operation.name
    assert {"Pow", "Softmax", "Log"} <= seen
    powers = [x for x in graph.get_operations() if x.type == "Pow"]
    assert any("norm" in operation.name for operation in powers)
    assert all(operation.outputs[0].dtype == tf.float32 for operation in powers)


def test_variables_and_optimizer_state_are_float32(built):
    _, program, _, _, _ = built
    values = program.variables()
    assert any("/adafactor_" in name for name in values)
    assert {value.dtype for value in values.values()} == {np.dtype(np.float32)}


@pytest.mark.slow
def test_selective_precision_trains_like_float32():
    """Twenty steps on one batch: the losses agree within 3 %."""
    losses = {}
    for precision in ACTIVATIONS:
        _, step, _, _ = build(precision)
        outputs = [step(number, **BATCH) for number in range(20)]
        losses[precision] = [float(output["loss"]) for output in outputs]
    assert losses["float32"][-1] < 0.9 * losses["float32"][0]
    assert np.all(np.isfinite(losses["bfloat16"]))
    np.testing.assert_allclose(
        losses["bfloat16_selective"], losses["float32"], rtol=0.03
    )
