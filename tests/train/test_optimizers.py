"""Adafactor: against numpy, Mesh TensorFlow's own, and on every layout."""

import gin
import numpy as np
import pytest
import tensorflow as tf
from oracles.adafactor import AdafactorOracle
from oracles.mesh_runner import run_mesh

from mtmoe.mesh import initializers
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.layout import Layout
from mtmoe.mesh.program import MeshProgram
from mtmoe.train.optimizers import Adafactor, global_norm

D_MODEL = mtf.Dimension("d_model", 8)
D_FF = mtf.Dimension("d_ff", 12)
HEADS = mtf.Dimension("heads", 2)
EXPERTS = mtf.Dimension("experts", 4)
STEPS = 5

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
    make_updates,
    names=tuple(SHAPES),
    values=VALUES,
    gradients=GRADIENTS,
    layout=None,
    jit_compile=True,
):
    """Makes STEPS updates; returns all variables, the optimizer's too."""
    program = MeshProgram(layout, jit_compile=jit_compile)

    def build(context, features):
        pairs = []
        for name in names:
            shape = SHAPES[name]
            value = context.variable(name, shape, initializers.zeros)
            grad = context.import_tensor(features[name], shape)
            pairs.append((value.operation, grad))
        return {"norm": global_norm(pairs)}, make_updates(context, pairs)

    signature = {name: tf.TensorSpec(values[name].shape) for name in names}
    step_function = program.function(build, signature, "step", training=True)
    program.assign(program.variables() | {name: values[name] for name in names})
    for step in range(STEPS):
        step_function(step, **{name: gradients[name][step] for name in names})
    return program.variables()


def learning_rate(context):
    """Another one at every step: 0.1, 0.2, ..."""
    return 0.1 * tf.cast(context.step + 1, tf.float32)


def adafactor(optimizer=OPTIMIZER):
    return lambda context, pairs: optimizer.updates(
        context, pairs, learning_rate(context)
    )


def oracle_value(name, **options):
    options = {"factored": name in FACTORED} | options
    value, gradient = VALUES[name], GRADIENTS[name]
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
    return train(adafactor())


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
        ("m:2", "experts:m"),
        ("m:4", "experts:m"),
        ("m:2", "d_ff:m"),
        ("m:4", "d_model:m"),
        ("data:2;model:2", "experts:data;d_ff:model"),
        ("data:2;model:2", "d_model:data;d_ff:model"),
    ],
)
def test_layouts_agree(trained, mesh_shape, rules):
    assert np.all(trained["wide"] != VALUES["wide"])
    got = train(adafactor(), layout=Layout(mesh_shape, rules))
    assert got.keys() == trained.keys()
    for name in SHAPES:
        assert_close(got[name], trained[name], name)
    for name in trained.keys() - SHAPES.keys():
        np.testing.assert_allclose(got[name], trained[name], rtol=1e-5)


def test_xla_and_plain_agree(trained):
    got = train(adafactor(), jit_compile=False)
    for name in SHAPES:
        assert_close(got[name], trained[name], name)


@pytest.mark.parametrize(
    ("ours", "options"),
    [
        ({"multiply_by_parameter_scale": False}, {"relative": False}),
        ({"clipping_threshold": None}, {"clipping_threshold": None}),
        ({"clipping_threshold": 0.5}, {"clipping_threshold": 0.5}),
        ({"decay_exponent": 0.5}, {"exponent": 0.5}),
        ({"factored": False}, {"factored": False}),
    ],
)
def test_options(ours, options):
    names = ("wide", "expert_matrix")
    got = train(adafactor(Adafactor(min_dim_size_to_factor=4, **ours)), names)
    for name in names:
        assert_close(got[name], oracle_value(name, **options), name)


def test_agrees_with_mesh_tensorflow_without_experts(trained):
    names = ("wide", "tall", "vector", "scalar", "narrow", "router")

    def updates(context, pairs):
        step = tf.cast(context.step, tf.float32)
        optimizer = mtf.optimize.AdafactorOptimizer(
            learning_rate=learning_rate(context),
            decay_rate=1.0 - tf.pow(step + 1.0, -0.8),
            min_dim_size_to_factor=4,
        )
        return optimizer.apply_grads([grad for _, grad in pairs], [v for v, _ in pairs])

    wanted = train(updates, names)
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
    first = train(adafactor(), [name])[name]
    value, gradient = VALUES[name].copy(), GRADIENTS[name].copy()
    value[1] *= 3.0
    gradient[:, 1] += 5.0
    second = train(adafactor(), [name], {name: value}, {name: gradient})[name]
    assert np.all(first[1] != second[1])
    np.testing.assert_array_equal(first[[0, 2, 3]], second[[0, 2, 3]])


def test_one_operation_a_variable():
    counts = []

    def updates(context, pairs):
        before = len(context.mesh.graph.operations)
        made = OPTIMIZER.updates(context, pairs, 0.1)
        moments = len(context.mesh.graph.all_variables) - len(pairs)
        counts.append(len(context.mesh.graph.operations) - before - moments)
        return made

    train(updates)
    assert counts == [len(SHAPES)]


def test_a_missing_gradient_is_an_error():
    def updates(context, pairs):
        return OPTIMIZER.updates(context, [(pairs[0][0], None), *pairs[1:]], 0.1)

    with pytest.raises(ValueError, match=r"does not depend on .*\['wide'\]"):
        train(updates, ["wide", "tall"])


def test_gin_configures_it():
    gin.parse_config("Adafactor.decay_exponent = 0.7\nAdafactor.epsilon2 = 1e-2")
    assert Adafactor() == Adafactor(decay_exponent=0.7, epsilon2=1e-2)


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


@pytest.mark.parametrize(
    ("mesh_shape", "rules"),
    [("", ""), ("m:4", "experts:m"), ("a:2;b:2", "experts:a;d_ff:b")],
)
def test_global_norm(mesh_shape, rules):
    def build(context, features):
        pairs = [
            (None, context.import_tensor(features[name], shape))
            for name, shape in SHAPES.items()
        ]
        return {"norm": global_norm(pairs)}

    got = run_mesh(build, VALUES, mesh_shape, rules)
    wanted = np.sqrt(
        sum(np.sum(np.square(x, dtype=np.float64)) for x in VALUES.values())
    )
    np.testing.assert_allclose(got["norm"], wanted, rtol=1e-6)
