"""Recomputation: the same gradients, and less memory in what XLA has compiled."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from mtmoe.engine.program import MeshProgram
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.mesh.initializers import truncated_normal
from mtmoe.mesh.layout import Layout
from mtmoe.mesh.recompute import recompute

BATCH, WIDTH, HIDDEN = (
    mtf.Dimension(name, size) for name, size in (("batch", 8), ("d", 6), ("h", 12))
)


@dataclasses.dataclass(frozen=True)
class Statistics:
    """What a layer tells beside its output."""

    name: str
    loss: mtf.Tensor
    parts: tuple[mtf.Tensor | None, ...]


def times_slicewise(x, factor):
    """Scales x by factor, with a gradient that holds the tensors themselves."""
    return mtf.slicewise(
        lambda x, factor: x * factor,
        [x, factor],
        output_dtype=x.dtype,
        splittable_dims=x.shape.dims,
        grad_function=lambda operation, dy: [dy * factor, dy * x],
    )


def layer(context: GraphContext, x, mask, number, width=WIDTH, hidden=HIDDEN):
    with context.scope(f"layer_{number}"):
        wi = context.variable("wi", mtf.Shape([width, hidden]), truncated_normal(0.5))
        wo = context.variable("wo", mtf.Shape([hidden, width]), truncated_normal(0.5))
        h = mtf.tanh(mtf.einsum([x, wi], output_shape=[x.shape.dims[0], hidden]))
        h = times_slicewise(context.dropout(h, 0.25), mtf.square(h) + 0.5)
        y = x + mtf.einsum([h, wo], output_shape=x.shape) * mask
    statistics = Statistics(
        "hidden", mtf.reduce_sum(mtf.square(h)), (mtf.reduce_max(h), None)
    )
    return y, statistics


def build_step(recomputed: bool, num_layers: int = 3, width=WIDTH, hidden=HIDDEN):
    def build(context, features):
        batch = mtf.Dimension("batch", features["x"].shape[0])
        x = context.import_tensor(features["x"], mtf.Shape([batch, width]))
        mask = mtf.cast(
            mtf.greater(mtf.reduce_sum(x, reduced_dim=width), 0), tf.float32
        )
        total, largest = [], []
        for number in range(num_layers):

            def call(x=x, number=number):
                return layer(context, x, mask, number, width, hidden)

            x, statistics = recompute(context, call) if recomputed else call()
            assert statistics.name == "hidden" and statistics.parts[1] is None
            total.append(statistics.loss)
            largest.append(statistics.parts[0])
        # A layer's loss counts in the objective, and its statistic does not.
        objective = mtf.reduce_sum(mtf.square(x)) + 0.1 * mtf.add_n(total)
        variables = context.mesh.graph.trainable_variables
        gradients = mtf.gradients([objective], [v.outputs[0] for v in variables])
        outputs = {v.name: g for v, g in zip(variables, gradients, strict=True)}
        return outputs | {"objective": objective, "largest": mtf.add_n(largest)}, []

    return build


def run(recomputed, layout=None):
    x = np.random.default_rng(0).standard_normal([BATCH.size, WIDTH.size])
    program = MeshProgram(layout or Layout(), seed=3)
    step = program.function(
        build_step(recomputed),
        {"x": tf.TensorSpec(x.shape, tf.float32)},
        "step",
        training=True,
    )
    return {name: np.asarray(value) for name, value in step(5, x=x).items()}


@pytest.mark.parametrize(
    "layout",
    [Layout(), Layout("batch:2", "batch:batch")],
    ids=["one_device", "two_devices"],
)
def test_gradients_losses_statistics_and_noise_are_the_same(layout):
    kept = run(False, layout)
    recomputed = run(True, layout)
    assert len(kept) == 8
    for name, value in kept.items():
        np.testing.assert_allclose(
            recomputed[name],
            value,
            rtol=0,
            atol=4e-6 * np.abs(value).max(),
            err_msg=name,
        )


def test_tensor_that_escapes_is_an_error_and_not_a_lost_gradient():
    def build(context, features):
        x = context.import_tensor(features["x"], mtf.Shape([BATCH]))
        escaped = []

        def call():
            escaped.append(x * 2.0)
            return escaped[0] + 1.0

        return {"y": recompute(context, call) + escaped[0]}, []

    program = MeshProgram()
    signature = {"x": tf.TensorSpec([8], tf.float32)}
    with pytest.raises(ValueError, match="usable"):
        program.function(build, signature, "step", training=True)


def test_nothing_is_repeated_where_there_is_no_backward_pass():
    def build(context, features):
        x = context.import_tensor(features["x"], mtf.Shape([BATCH, WIDTH]))
        y, _ = recompute(context, lambda: layer(context, x, 1.0, 0))
        names = [
            type(operation).__name__ for operation in context.mesh.graph.operations
        ]
        assert "_Recomputed" not in names
        return {"y": y}, []

    program = MeshProgram()
    program.function(
        build, {"x": tf.TensorSpec([8, 6], tf.float32)}, "evaluate", training=False
    )


def temporary_bytes(recomputed: bool) -> int:
    """What a step of eight layers takes beside its arguments and results."""
    width, hidden = mtf.Dimension("d", 64), mtf.Dimension("h", 256)
    step = MeshProgram().function(
        build_step(recomputed, 8, width, hidden),
        {"x": tf.TensorSpec([2048, 64], tf.float32)},
        "step",
        training=True,
    )
    return step.executable.compiled.memory_analysis().temp_size_in_bytes


@pytest.mark.slow
def test_the_compiled_program_needs_less_memory():
    # Eight layers keep four arrays of 2 MB each, or one of 0.5 MB and those of one.
    assert temporary_bytes(True) < 0.5 * temporary_bytes(False)
