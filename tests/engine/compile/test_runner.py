"""The runner through JAX against PJRT alone: the same program, the same numbers."""

import jax
import numpy as np
import pytest
import tensorflow as tf
from oracles.direct_executable import DirectExecutable

from mtmoe.engine.compile.options import xla_options
from mtmoe.engine.program import MeshProgram
from mtmoe.mesh import initializers
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.layout import Layout

BATCH, EXPERTS, CAPACITY, WIDTH, HIDDEN = (
    mtf.Dimension(name, size)
    for name, size in (
        ("batch", 4),
        ("experts", 4),
        ("capacity", 3),
        ("d_model", 6),
        ("d_ff", 8),
    )
)
INNER = mtf.Dimension("batch_of_expert", BATCH.size)
SIGNATURE = {"x": tf.TensorSpec([4, 4, 3, 6], tf.float32)}
X = np.random.default_rng(0).standard_normal([4, 4, 3, 6]).astype(np.float32)
LAYOUTS = [
    Layout(),
    Layout("m:2", "batch:m;experts:m"),
    Layout("m:2;n:2", "batch:m;experts:m;d_ff:n"),
]


def build(context, features):
    """Experts that tokens travel to and from, noise, and an update with momentum."""
    tokens = mtf.Shape([BATCH, EXPERTS, CAPACITY, WIDTH])
    x = context.import_tensor(
        features["x"], mtf.Shape([BATCH, mtf.Dimension("expert", 4), CAPACITY, WIDTH])
    )
    normal = initializers.truncated_normal(0.5)
    wi = context.variable("wi", mtf.Shape([EXPERTS, WIDTH, HIDDEN]), normal)
    wo = context.variable("wo", mtf.Shape([EXPERTS, HIDDEN, WIDTH]), normal)
    scale = context.variable("scale", mtf.Shape([WIDTH]), initializers.ones)
    there = mtf.reshape(x * scale, mtf.Shape([INNER, EXPERTS, CAPACITY, WIDTH]))
    hidden = mtf.tanh(
        mtf.einsum([there, wi], mtf.Shape([INNER, EXPERTS, CAPACITY, HIDDEN]))
    )
    back = mtf.einsum([context.dropout(hidden, 0.2), wo], there.shape)
    y = mtf.reshape(back, x.shape)
    assert back.shape.rename_dimension("batch_of_expert", "batch") == tokens
    loss = mtf.reduce_mean(mtf.square(y - x))
    updates = []
    parameters = [wi, wo]  # the scale is left as it is
    for value, grad in zip(parameters, mtf.gradients([loss], parameters), strict=True):
        momentum = context.variable(
            f"{value.operation.name}_momentum",
            value.shape,
            initializers.zeros,
            trainable=False,
        )
        new = 0.9 * momentum + grad
        updates += [
            mtf.assign(momentum.operation, new),
            mtf.assign_sub(value.operation, 0.5 * new),
        ]
    return {"loss": loss, "y": y}, updates


@pytest.fixture(name="made", scope="module", params=LAYOUTS, ids=lambda x: str(x.size))
def _made(request):
    program = MeshProgram(request.param, seed=3)
    return program, program.function(build, SIGNATURE, "step", training=True)


def test_both_clients_of_pjrt_give_the_same_numbers(made):
    program, step = made
    signature = step.program.signature
    direct = DirectExecutable(step.program, program.mesh, xla_options(program.mesh))
    for number in range(3):
        before = program.variables()
        outputs = step(number, x=X)
        wanted, updated = direct(number, [X], before)
        assert set(updated) == set(signature.updated) and len(updated) == 4
        for argument, value in zip(signature.outputs, wanted, strict=True):
            np.testing.assert_array_equal(
                outputs[argument.name], value, err_msg=argument.name
            )
        after = program.variables()
        for name, value in updated.items():
            # JAX's client donates variables. What is updated in place is another loop
            # to LLVM, which may fuse a multiplication and a subtraction in one of them.
            rounding = np.spacing(np.max(np.abs(before[name]) + np.abs(value)))
            np.testing.assert_allclose(
                after[name], value, rtol=0, atol=rounding, err_msg=name
            )
            assert np.any(after[name] != before[name]), name
        # Outputs are whole, and the same on every device.
        for name, value in outputs.items():
            assert isinstance(value, jax.Array)
            assert len(value.addressable_shards) == program.layout.size
            for shard in value.addressable_shards:
                np.testing.assert_array_equal(shard.data, value, err_msg=name)


def test_variables_lie_in_slices_and_the_updated_are_donated(made):
    program, step = made
    program.variables()
    before = dict(program._values)
    step(0, x=X)
    updated = set(step.program.signature.updated)
    for argument in step.program.signature.variables:
        value = program._values[argument.name]
        assert value.shape == argument.shape
        wanted = tuple(
            size if axis is None else size // program.mesh.shape[axis]
            for size, axis in zip(argument.shape, argument.split, strict=True)
        )
        shards = value.addressable_shards
        assert {shard.data.shape for shard in shards} == {wanted}, argument.name
        assert before[argument.name].is_deleted() == (argument.name in updated)
    assert not before["scale"].is_deleted()
