"""One routing group of the whole batch: every layout computes the same step."""

import functools

import numpy as np
import pytest
import tensorflow as tf
from oracles.model_runner import (
    for_decoder,
    random_batch,
    segmented,
    tiny_decoder,
    tiny_moe,
)

from mtmoe.engine.program import MeshProgram
from mtmoe.mesh.layout import Layout
from mtmoe.train.optimizers.adamw import AdamW
from mtmoe.train.step import train_step_builder

STEPS = 2
# Dropout, experts' dropout and jitter are on. An expert has 11 slots, which no layout
# divides.
MODEL = tiny_decoder(
    dropout_rate=0.1,
    moe=tiny_moe(dropout_rate=0.2, minimum=1, train_factor=0.9),
)


def trained(mesh_shape, rules):
    """Returns the outputs of each step, and the weights after them."""
    program = MeshProgram(Layout(mesh_shape, rules), seed=1)
    batches = [
        for_decoder(segmented(random_batch(batch=6, targets=8, seed=step)), prefix=3)
        for step in range(STEPS)
    ]
    signature = {
        name: tf.TensorSpec(x.shape, x.dtype) for name, x in batches[0].items()
    }
    build = train_step_builder(
        MODEL, AdamW(), lambda step: tf.constant(0.01), 0, packed=True
    )
    train = program.function(build, signature, "train", training=True)
    history = [
        {name: np.asarray(x) for name, x in train(step, **batch).items()}
        for step, batch in enumerate(batches)
    ]
    return history, program.variables()


@functools.cache
def one_device():
    return trained("", "")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mesh_shape", "rules"),
    [
        ("data:3", "batch:data;optimizer_state:data"),
        ("outer:3", "outer_batch:outer"),
        ("outer:2;data:1", "outer_batch:outer;batch:data;experts:data"),
        ("data:2;sequence:2", "batch:data;experts:data;length:sequence"),
    ],
)
def test_every_layout_trains_the_same(mesh_shape, rules):
    history, variables = trained(mesh_shape, rules)
    one_history, one_variables = one_device()
    for step, (got, want) in enumerate(zip(history, one_history, strict=True)):
        for name, value in want.items():
            np.testing.assert_allclose(
                got[name], value, rtol=1e-5, atol=2e-6, err_msg=f"{name} at {step}"
            )
        assert want["dropped_fraction"] == got["dropped_fraction"]
    assert 0 < one_history[0]["dropped_fraction"] < 1
    for name, value in one_variables.items():
        np.testing.assert_allclose(
            variables[name], value, rtol=1e-4, atol=1e-4, err_msg=name
        )
