"""Adafactor: against numpy, Mesh TensorFlow's own, and on several layouts."""

import gin
import numpy as np
import pytest
import tensorflow as tf
from oracles.adafactor import AdafactorOracle
from oracles.update_runner import (
    STEPS,
    learning_rate,
    make_updates,
    optimizer_updates,
)

from mtmoe.errors import ConfigError
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import InitialValue
from mtmoe.mesh.initializers import zeros
from mtmoe.mesh.layout import Layout
from mtmoe.model.shapes import unlowered_graph
from mtmoe.train.optimizers.adafactor import Adafactor

D_MODEL = mtf.Dimension("d_model", 8)
D_FF = mtf.Dimension("d_ff", 12)
HEADS = mtf.Dimension("heads", 2)
EXPERTS = mtf.Dimension("experts", 4)

SHAPES = {
    "wide": mtf.Shape([D_MODEL, D_FF]),  # factored
    "tall": mtf.Shape([D_FF, D_MODEL]),  # factored
    "vector": mtf.Shape([D_FF]),
    "scalar": mtf.Shape([]),
    "narrow": mtf.Shape([D_FF, HEADS]),  # too narrow to be factored
    "expert_matrix": mtf.Shape([EXPERTS, D_MODEL, D_FF]),  # factored, one per expert
    "expert_bias": mtf.Shape([EXPERTS, D_FF]),  # one per expert
    "router": mtf.Shape([D_MODEL, EXPERTS]),  # one parameter: experts are its outputs
}
FACTORED = {"wide", "tall", "expert_matrix", "router"}
OPTIMIZER = Adafactor(min_dim_size_to_factor=4)


def make_arrays():
    """Values of the variables, and one gradient of each for every step."""
    rng = np.random.default_rng(3)
    values, gradients = {}, {}
    for name, shape in SHAPES.items():
        sizes = shape.to_integer_list
        scale = np.exp(rng.normal(size=[STEPS, *sizes]))  # uneven, so that it clips
        values[name] = rng.normal(size=sizes).astype(np.float32)
        noise = rng.normal(size=[STEPS, *sizes])
        gradients[name] = (noise * scale * 1e-2).astype(np.float32)
    # Experts of very different scale, the last with no gradient at all.
    each = np.array([1e-6, 0.1, 1, 10], np.float32)[:, np.newaxis, np.newaxis]
    values["expert_matrix"] *= each
    each = np.array([1, 100, 1e-4, 0], np.float32)[:, np.newaxis, np.newaxis]
    gradients["expert_matrix"] *= each
    return values, gradients


VALUES, GRADIENTS = make_arrays()


def train(
    optimizer=OPTIMIZER,
    names=tuple(SHAPES),
    values=VALUES,
    gradients=GRADIENTS,
    **options,
):
    shapes = {name: SHAPES[name] for name in names}
    updates = optimizer_updates(optimizer)
    return make_updates(updates, shapes, values, gradients, **options)


def oracle_value(name, gradients=GRADIENTS, **options):
    options = {"factored": name in FACTORED} | options
    value, gradient = VALUES[name], gradients[name]
    is_stacked = SHAPES[name].ndims and SHAPES[name].dims[0] == EXPERTS
    if not is_stacked:
        value, gradient = value[np.newaxis], gradient[:, np.newaxis]
    results = []
    for part, part_gradient in zip(value, np.moveaxis(gradient, 1, 0), strict=True):
        oracle = AdafactorOracle(part, **options)
        for step in range(STEPS):
            oracle.update(part_gradient[step], 0.1 * (step + 1))
        results.append(oracle.value)
    return np.array(results) if is_stacked else results[0]


def assert_close(got, wanted, name):
    """To 1e-5 of the change made, which may be small beside the value itself."""
    scale = np.abs(wanted - VALUES[name]).max() + 1e-9
    np.testing.assert_allclose(got / scale, wanted / scale, rtol=1e-5, atol=2e-5)


@pytest.fixture(name="trained", scope="module")
def _trained():
    return train()


@pytest.mark.parametrize("name", SHAPES)
def test_agrees_with_numpy(trained, name):
    wanted = oracle_value(name)
    assert np.abs(wanted - VALUES[name]).max() > 1e-4
    assert_close(trained[name], wanted, name)


def test_moments_are_factored_where_that_saves_memory(trained):
    shapes = {
        name: value.shape for name, value in trained.items() if "/adafactor_" in name
    }
    assert shapes == {
        "wide/adafactor_vr": (8,),
        "wide/adafactor_vc": (12,),
        "tall/adafactor_vr": (8,),
        "tall/adafactor_vc": (12,),
        "vector/adafactor_v": (12,),
        "scalar/adafactor_v": (),
        "narrow/adafactor_v": (12, 2),
        "expert_matrix/adafactor_vr": (4, 8),
        "expert_matrix/adafactor_vc": (4, 12),
        "expert_bias/adafactor_v": (4, 12),
        "router/adafactor_vr": (4,),
        "router/adafactor_vc": (8,),
    }


@pytest.mark.parametrize(
    ("mesh_shape", "rules"),
    [
        ("m:4", "d_model:m"),
        ("data:2;model:2", "experts:data;d_ff:model"),
        ("data:2;model:2", "d_model:data;d_ff:model"),
    ],
)
def test_layouts_agree(trained, mesh_shape, rules):
    assert np.all(trained["wide"] != VALUES["wide"])
    got = train(layout=Layout(mesh_shape, rules))
    assert got.keys() == trained.keys()
    for name in SHAPES:
        assert_close(got[name], trained[name], name)
    for name in trained.keys() - SHAPES.keys():
        np.testing.assert_allclose(got[name], trained[name], rtol=1e-5)


@pytest.mark.parametrize(
    ("ours", "options"),
    [
        ({"multiply_by_parameter_scale": False}, {"relative": False}),
        ({"clipping_threshold": None}, {"clipping_threshold": None}),
        ({"clipping_threshold": 0.5}, {"clipping_threshold": 0.5}),
        ({"decay_exponent": 0.5}, {"exponent": 0.5}),
        ({"factored": False}, {"factored": False}),
        ({"momentum": 0.9}, {"momentum": 0.9}),
        ({"weight_decay_rate": 0.01}, {"weight_decay_rate": 0.01}),
    ],
)
def test_options(ours, options):
    names = ("wide", "expert_matrix")
    got = train(Adafactor(min_dim_size_to_factor=4, **ours), names)
    for name in names:
        assert_close(got[name], oracle_value(name, **options), name)
        assert np.abs(got[name] - oracle_value(name)).max() > 1e-4  # and it matters


def test_momentum_and_decay_together_on_a_mesh():
    optimizer = Adafactor(
        min_dim_size_to_factor=4, momentum=0.9, weight_decay_rate=0.01
    )
    layout = Layout("a:2;b:2", "experts:a;d_ff:b")
    got = train(optimizer, ["expert_matrix"], layout=layout)
    wanted = oracle_value("expert_matrix", momentum=0.9, weight_decay_rate=0.01)
    assert_close(got["expert_matrix"], wanted, "expert_matrix")
    assert got["expert_matrix/adafactor_m"].shape == (4, 8, 12)


def test_gradients_are_clipped_by_their_norm_together():
    names = ("wide", "vector")
    gradients = {name: GRADIENTS[name] * 10 for name in names}
    clipped = {name: gradients[name].copy() for name in names}
    for step in range(STEPS):
        norm = np.sqrt(sum(np.sum(gradients[name][step] ** 2) for name in names))
        assert norm > 0.5
        for name in names:
            clipped[name][step] *= 0.5 / norm
    optimizer = Adafactor(min_dim_size_to_factor=4, clip_global_norm=0.5)
    got = train(optimizer, names, gradients=gradients, layout=Layout("m:2", "d_ff:m"))
    for name in names:
        assert_close(got[name], oracle_value(name, clipped), name)


def test_gradients_in_bfloat16_update_float32_variables():
    rounded = {
        name: tf.cast(tf.cast(x, tf.bfloat16), tf.float32).numpy()
        for name, x in GRADIENTS.items()
    }
    got = train(names=["wide"], gradient_dtype=tf.bfloat16)
    assert {value.dtype for value in got.values()} == {np.dtype(np.float32)}
    assert_close(got["wide"], oracle_value("wide", rounded), "wide")


def test_agrees_with_mesh_tensorflow_without_experts(trained):
    names = ("wide", "tall", "vector", "scalar", "narrow", "router")

    def updates(context, pairs):
        step = tf.cast(context.step, tf.float32)
        optimizer = mtf.optimize.AdafactorOptimizer(
            learning_rate=learning_rate(context),
            decay_rate=1.0 - tf.pow(step + 1.0, -0.8),
            min_dim_size_to_factor=4,
        )
        made = optimizer.apply_grads([grad for _, grad in pairs], [v for v, _ in pairs])
        for slot in context.mesh.graph.all_variables:  # not by context.variable
            context.initial_values.setdefault(slot.name, InitialValue(zeros, (0, 0)))
        return made

    shapes = {name: SHAPES[name] for name in names}
    wanted = make_updates(updates, shapes, VALUES, GRADIENTS)
    for name in names:
        assert_close(trained[name], wanted[name], name)
    np.testing.assert_allclose(
        trained["wide/adafactor_vr"], wanted["wide_slot_vr"], rtol=1e-5
    )
    np.testing.assert_allclose(
        trained["narrow/adafactor_v"], wanted["narrow_slot_v"], rtol=1e-5
    )


def test_experts_do_not_touch_one_another():
    """Changing one expert's value and gradient leaves the others' updates bit-equal."""
    name = "expert_matrix"
    first = train(names=[name])[name]
    value, gradient = VALUES[name].copy(), GRADIENTS[name].copy()
    value[1] *= 3.0
    gradient[:, 1] += 5.0
    second = train(names=[name], values={name: value}, gradients={name: gradient})[name]
    assert np.all(first[1] != second[1])
    np.testing.assert_array_equal(first[[0, 2, 3]], second[[0, 2, 3]])


def test_one_operation_a_variable():
    counts = []

    def build(context):
        pairs = [
            (
                context.variable(name, shape, zeros).operation,
                mtf.ones(context.mesh, shape),
            )
            for name, shape in SHAPES.items()
        ]
        before = len(context.mesh.graph.operations)
        OPTIMIZER.updates(context, pairs, 0.1)
        moments = len(context.mesh.graph.all_variables) - len(pairs)
        counts.append(len(context.mesh.graph.operations) - before - moments)

    unlowered_graph(build, training=True)
    assert counts == [len(SHAPES)]


def test_a_missing_gradient_is_an_error():
    def updates(context, pairs):
        return OPTIMIZER.updates(context, [(pairs[0][0], None), *pairs[1:]], 0.1)

    shapes = {name: SHAPES[name] for name in ("wide", "tall")}
    with pytest.raises(ValueError, match=r"does not depend on .*\['wide'\]"):
        make_updates(updates, shapes, VALUES, GRADIENTS)


def test_gin_configures_it():
    gin.parse_config("Adafactor.decay_exponent = 0.7\nAdafactor.epsilon2 = 1e-2")
    assert Adafactor() == Adafactor(decay_exponent=0.7, epsilon2=1e-2)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("momentum", 1.0),
        ("momentum", 0.0),
        ("weight_decay_rate", 1.5),
        ("clipping_threshold", 0.0),
        ("clip_global_norm", -1.0),
    ],
)
def test_numbers_out_of_range_are_refused(name, value):
    with pytest.raises(ConfigError, match=rf"Adafactor.{name} is {value}"):
        Adafactor(**{name: value})


def test_default_factors_from_128_on():
    def dims(*sizes):
        return mtf.Shape([mtf.Dimension(f"d{i}", n) for i, n in enumerate(sizes)])

    assert Adafactor().factored_axes(dims(128, 127)) is None
    assert Adafactor().factored_axes(dims(128, 256)) == (1, 0)
    assert Adafactor().factored_axes(dims(300, 2, 200)) == (0, 2)
    experts = mtf.Shape([mtf.Dimension("experts", 512)])
    assert Adafactor().factored_axes(experts + dims(128)) is None
    assert Adafactor().factored_axes(experts + dims(128, 256)) == (2, 1)
    assert Adafactor().factored_axes(dims(128) + experts) == (1, 0)
