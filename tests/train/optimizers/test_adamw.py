"""AdamW: against numpy and on a mesh."""

import numpy as np
import pytest
from oracles.adamw import AdamWOracle
from oracles.update_runner import STEPS, make_updates, optimizer_updates

from mtmoe.errors import ConfigError
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.layout import Layout
from mtmoe.train.optimizers.adamw import AdamW

D_MODEL = mtf.Dimension("d_model", 6)
D_FF = mtf.Dimension("d_ff", 4)
EXPERTS = mtf.Dimension("experts", 2)
SHAPES = {
    "matrix": mtf.Shape([D_MODEL, D_FF]),
    "experts/wi": mtf.Shape([EXPERTS, D_MODEL, D_FF]),
    "norm/scale": mtf.Shape([D_MODEL]),
    "experts/wi_bias": mtf.Shape([EXPERTS, D_FF]),
    "q_bias": mtf.Shape([D_MODEL, D_FF]),
    "relative_position_bias": mtf.Shape([D_FF, EXPERTS]),
    "unbiased": mtf.Shape([D_FF, D_MODEL]),
}
DECAYED = {"matrix", "experts/wi", "unbiased"}

_RNG = np.random.default_rng(5)
VALUES = {
    name: _RNG.normal(size=shape.to_integer_list).astype(np.float32)
    for name, shape in SHAPES.items()
}
GRADIENTS = {
    name: (
        _RNG.normal(size=[STEPS, *shape.to_integer_list])
        * np.exp(2 * _RNG.normal(size=[STEPS, *shape.to_integer_list]))
    ).astype(np.float32)
    for name, shape in SHAPES.items()
}


def train(optimizer, **options):
    updates = optimizer_updates(optimizer)
    return make_updates(updates, SHAPES, VALUES, GRADIENTS, **options)


def oracle_value(name, gradients=GRADIENTS, **options):
    if name not in DECAYED:
        options["weight_decay"] = 0.0
    oracle = AdamWOracle(VALUES[name], **options)
    for step in range(STEPS):
        oracle.update(gradients[name][step], 0.1 * (step + 1))
    return oracle.value


def assert_agrees(got, gradients=GRADIENTS, **options):
    for name in SHAPES:
        wanted = oracle_value(name, gradients, **options)
        np.testing.assert_allclose(
            got[name], wanted, rtol=1e-5, atol=1e-5, err_msg=name
        )


def test_agrees_with_numpy_and_decays_matrices_alone():
    got = train(AdamW(weight_decay=0.1))
    assert_agrees(got, weight_decay=0.1)
    without = oracle_value("matrix", weight_decay=0.0)
    assert np.abs(without - got["matrix"]).max() > 1e-2
    moments = {name for name in got if "/adamw_" in name}
    assert moments == {f"{name}/adamw_{key}" for name in SHAPES for key in "mv"}


def test_other_betas_on_a_mesh():
    layout = Layout("a:2;b:2", "experts:a;d_ff:b")
    got = train(AdamW(0.8, 0.95, 1e-2, weight_decay=0.0), layout=layout)
    assert_agrees(got, beta1=0.8, beta2=0.95, epsilon=1e-2, weight_decay=0.0)


def test_gradients_of_experts_are_scaled_before_all_are_clipped():
    gradients = {
        name: x * 0.5 if name.startswith("experts") else x.copy()
        for name, x in GRADIENTS.items()
    }
    for step in range(STEPS):
        norm = np.sqrt(sum(np.sum(x[step] ** 2) for x in gradients.values()))
        for x in gradients.values():
            x[step] *= min(1.0, 20.0 / norm)
    optimizer = AdamW(beta1=0.0, clip_global_norm=20.0, expert_gradient_scale=0.5)
    got = train(optimizer, layout=Layout("m:2", "d_ff:m"))
    assert_agrees(got, gradients, beta1=0.0)
    unclipped = oracle_value("matrix", beta1=0.0)
    assert np.abs(unclipped - got["matrix"]).max() > 1e-3


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("beta1", 1.0),
        ("beta2", -0.1),
        ("epsilon", 0.0),
        ("weight_decay", -1.0),
        ("clip_global_norm", 0.0),
        ("expert_gradient_scale", -2.0),
    ],
)
def test_numbers_out_of_range_are_refused(name, value):
    with pytest.raises(ConfigError, match=rf"AdamW.{name} is {value}"):
        AdamW(**{name: value})
