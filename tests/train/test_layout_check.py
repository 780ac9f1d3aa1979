"""A layout either trains as one device does, or is refused with its arithmetic."""

import functools
import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.model_runner import (
    for_decoder,
    random_batch,
    segmented,
    tiny_decoder,
    tiny_model,
    tiny_moe,
)

from mtmoe.engine.program import MeshProgram
from mtmoe.errors import LayoutError
from mtmoe.mesh.features import named_features
from mtmoe.mesh.layout import Layout
from mtmoe.model.parts import takes_inputs
from mtmoe.model.shapes import unlowered_graph
from mtmoe.train.layout_check import DIMENSIONS, layout_problems
from mtmoe.train.optimizers.adafactor import Adafactor
from mtmoe.train.step import train_step_builder

MODEL = tiny_decoder(dropout_rate=0.1, moe=tiny_moe(dropout_rate=0.1))
DENSE = tiny_model(num_encoder_layers=1, num_decoder_layers=1, expert_layer_every=0)


def arrays_of(model):
    arrays = segmented(random_batch(batch=12))
    return arrays if takes_inputs(model) else for_decoder(arrays)


def specs_of(model):
    arrays = arrays_of(model)
    return {name: tf.TensorSpec(x.shape, x.dtype) for name, x in arrays.items()}


def build_step(model):
    optimizer = Adafactor(min_dim_size_to_factor=16)
    return train_step_builder(model, optimizer, lambda step: tf.constant(0.01), 0)


def graph_of(layout, model=MODEL):
    build, features = build_step(model), named_features(specs_of(model))
    return unlowered_graph(lambda context: build(context, features), True, layout)


def problems(layout, model=MODEL):
    try:
        return [
            message for message, _ in layout_problems(layout, graph_of(layout, model))
        ]
    except LayoutError as error:
        return [str(error)]


def first_step(layout):
    program = MeshProgram(layout)
    specs, arrays = specs_of(MODEL), arrays_of(MODEL)
    train = program.function(build_step(MODEL), specs, "train", training=True)
    return {name: np.asarray(x) for name, x in train(3, **arrays).items()}


@functools.cache
def one_device():
    return first_step(Layout())


@st.composite
def layouts(draw):
    sizes = draw(
        st.lists(st.sampled_from([1, 2, 2, 3, 4]), min_size=1, max_size=3).filter(
            lambda sizes: 1 < math.prod(sizes) <= 4
        )
    )
    axes = ["a", "b", "c"][: len(sizes)]
    names = draw(
        st.lists(st.sampled_from(DIMENSIONS), min_size=1, max_size=5, unique=True)
    )
    pairs = [(name, draw(st.sampled_from(axes))) for name in names]
    return Layout(
        ";".join(f"{axis}:{size}" for axis, size in zip(axes, sizes, strict=True)),
        ";".join(f"{name}:{axis}" for name, axis in pairs),
    )


@pytest.mark.slow
@settings(max_examples=8)
@given(layouts())
def test_it_trains_as_one_device_does_or_is_refused(layout):
    if found := problems(layout):
        for message in found:
            assert "'" in message and (layout.size > 1 or "cannot" in message), message
        return
    for name, value in first_step(layout).items():
        np.testing.assert_allclose(
            value, one_device()[name], rtol=1e-5, atol=1e-6, err_msg=f"{layout} {name}"
        )


@pytest.mark.parametrize(
    ("mesh_shape", "rules", "message"),
    [
        (
            "a:3",
            "d_ff:a",
            "'d_ff' of size 32 does not divide over the 3 processors of 'a': 32 = 3 x "
            "10 + 2; d_ff of 30 or 33 would, and so would mesh_shape a:2 or a:4",
        ),
        (
            "a:2",
            "heads:a;length:a",
            "'heads' and 'length' are dimensions of one tensor, "
            "[batch heads length d_kv], and cannot both be split over 'a'; leave one",
        ),
        ("a:2", "d_model:a", "'d_model' cannot be split (over 'a'): normalize"),
        ("a:2", "heads:a;bacth:a", "did you mean batch"),
        ("a:2", "heads:a;group:a", "a dimension 'group' that can be split"),
        ("a:2;b:2", "heads:a", "no rule names the mesh dimension 'b', so its 2"),
        ("a:2;b:2", "heads:a;experts:b", "this model has no 'experts', all that is"),
        (
            "a:5",
            "batch:a",
            "batch of 10 or 15 would, and so would mesh_shape a:4 or a:6",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_numbers(mesh_shape, rules, message):
    assert message in " ".join(problems(Layout(mesh_shape, rules), DENSE))


def test_a_rule_for_what_a_model_has_not_is_no_mistake():
    layout = Layout("a:2", "batch:a;experts:a;optimizer_state:a;outer_batch:a")
    layout = layout.without("outer_batch")
    assert problems(layout, DENSE) == []


def test_a_function_that_does_not_fit_is_refused():
    program = MeshProgram(Layout("a:2", "d_model:a"))
    with pytest.raises(LayoutError, match="train: 'd_model' cannot be split"):
        program.function(build_step(DENSE), specs_of(DENSE), "train", training=True)
