"""Moments split over processors that share a parameter: where, and what is sent."""

import numpy as np
import tensorflow as tf
from oracles.mesh_runner import stablehlo_text

from mtmoe.engine.program import MeshProgram
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.initializers import ones
from mtmoe.mesh.layout import Layout
from mtmoe.train.optimizers.adafactor import Adafactor
from mtmoe.train.optimizers.adamw import AdamW
from mtmoe.train.optimizers.norm import global_norm
from mtmoe.train.optimizers.split_state import split_gradients, state_dimension

BATCH, D_MODEL = mtf.Dimension("batch", 4), mtf.Dimension("d_model", 8)
D_FF, EXPERTS = mtf.Dimension("d_ff", 6), mtf.Dimension("experts", 2)
ZERO = "batch:data;optimizer_state:data"


def test_the_first_dimension_that_divides_and_nobody_splits():
    layout = Layout("data:2;model:3", f"{ZERO};experts:data;d_ff:model")

    def chosen(*dims):
        return state_dimension(mtf.Shape(dims), layout)

    assert chosen(D_MODEL, D_FF) == D_MODEL
    assert chosen(D_FF, D_MODEL) == D_MODEL
    assert chosen(EXPERTS, D_MODEL, D_FF) is None  # split over data already
    assert chosen(mtf.Dimension("odd", 3), D_FF) is None
    assert chosen() is None
    assert state_dimension(mtf.Shape([EXPERTS, D_MODEL]), Layout("data:2", ZERO)) == (
        D_MODEL
    )  # not over the experts, which share no statistics
    assert state_dimension(mtf.Shape([D_MODEL]), Layout("data:2", "batch:data")) is None


def program_of(optimizer, layout):
    def build(context, features):
        x = context.import_tensor(features["x"], mtf.Shape([BATCH, D_MODEL]))
        weights = context.variable("w", mtf.Shape([D_MODEL, D_FF]), ones)
        loss = mtf.reduce_sum(mtf.square(mtf.einsum([x, weights], [BATCH, D_FF])))
        variables = context.mesh.graph.trainable_variables
        gradients = mtf.gradients([loss], [v.outputs[0] for v in variables])
        pairs = split_gradients(context, list(zip(variables, gradients, strict=True)))
        updates = optimizer.updates(context, pairs, tf.constant(0.1))
        return {"loss": loss, "norm": global_norm(pairs)}, updates

    program = MeshProgram(layout)
    signature = {"x": tf.TensorSpec([4, 8], tf.float32)}
    return program, program.function(build, signature, "train", training=True)


def trained(optimizer, rules):
    program, step = program_of(optimizer, Layout("data:2", rules))
    x = np.random.default_rng(0).standard_normal([4, 8]).astype(np.float32)
    outputs = [{k: np.asarray(v) for k, v in step(n, x=x).items()} for n in range(3)]
    splits = {v.name: v.split for v in step.program.signature.variables}
    scatters = stablehlo_text(step.program).count("stablehlo.reduce_scatter")
    return outputs, program.variables(), splits, scatters


def test_each_processor_keeps_its_part_and_all_get_the_same():
    for optimizer in (AdamW(), Adafactor(min_dim_size_to_factor=4, momentum=0.9)):
        outputs, variables, splits, scatters = trained(optimizer, ZERO)
        plain = trained(optimizer, "batch:data")
        plain_outputs, plain_variables, plain_splits, plain_scatters = plain
        assert scatters == 1 and plain_scatters == 0
        for got, want in zip(outputs, plain_outputs, strict=True):
            for name, value in want.items():
                np.testing.assert_allclose(got[name], value, rtol=1e-6, err_msg=name)
        for name, value in plain_variables.items():
            np.testing.assert_allclose(variables[name], value, rtol=1e-6, err_msg=name)
        assert splits["w"] == (None, None)
        moments = [split for name, split in splits.items() if name != "w"]
        assert sum("data" in split for split in moments) >= len(moments) - 1
        assert not any("data" in split for split in plain_splits.values())
