import dataclasses
import functools

import numpy as np
import pytest
import tensorflow as tf
from oracles import routing_numpy as oracle
from oracles.model_runner import layout_program, run, tiny_moe
from oracles.moe_layer import (
    NO_NOISE,
    B,
    E,
    F,
    L,
    M,
    build_layer,
    data,
    imported,
    weights,
)

from mtmoe.errors import ConfigError, UnknownNameError
from mtmoe.model.feedforward import FeedForward
from mtmoe.model.moe.mixture import MixtureOfExperts
from mtmoe.model.moe.routers.switch import SwitchRouter


def runner(build, arrays):
    """Returns a function of arrays and weights, which runs what is built once."""
    program = layout_program()
    step = program.function(
        lambda context, features: (build(context, features), []),
        {
            name: tf.TensorSpec(array.shape, array.dtype)
            for name, array in arrays.items()
        },
        "test",
    )

    def outputs(arrays, values):
        program.assign(values)
        return {name: np.asarray(value) for name, value in step(0, **arrays).items()}

    return outputs


def check_against_oracle(arrays, values, moe, group_size, capacity):
    got = run(build_layer(moe), arrays, values).outputs
    x = arrays["x"].astype(np.float64).reshape([-1, group_size, M])
    mask = arrays["mask"].astype(bool).reshape([-1, group_size])
    routing = oracle.route(x, values["router"], mask, capacity)
    y = oracle.switch_layer(x, routing, values["experts/wi"], values["experts/wo"])
    np.testing.assert_allclose(got["y"], y.reshape(got["y"].shape), atol=2e-5)
    alpha, c_z = moe.router.balance_loss_weight, moe.router.z_loss_weight
    one_hot = np.eye(moe.num_experts)[routing.expert] * mask[..., None]
    dropped = mask & ~routing.kept
    expected = {
        "balance_loss": alpha * oracle.balance_loss(routing, mask),
        "z_loss": c_z * oracle.z_loss(routing, mask),
        "entropy": oracle.entropy(routing, mask),
        "log_z_square": oracle.z_loss(routing, mask),
        "tokens": mask.sum(),
        "expert_counts": one_hot.reshape([B, L, -1]).sum(1),
        "dropped_counts": dropped.reshape([B, L]).sum(1),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-5, err_msg=name)
    # Dropped tokens and padding give exactly zero, not nearly.
    kept = routing.kept.reshape([B, L])
    assert np.all(got["y"][~kept] == 0.0)
    return dropped.sum()


def test_layer_agrees_with_the_oracle_with_padding_and_drops():
    moe = tiny_moe(router=NO_NOISE, evaluation_factor=0.75, minimum=1)
    dropped = check_against_oracle(data(), weights(), moe, B * L, capacity=6)
    assert dropped > 0


def test_layer_agrees_with_the_oracle_in_several_groups():
    moe = tiny_moe(router=NO_NOISE, group_size=2 * L, evaluation_factor=0.5, minimum=1)
    check_against_oracle(data(seed=1), weights(seed=1), moe, 2 * L, capacity=2)


@pytest.mark.parametrize(
    "mesh_shape", ["", pytest.param("batch:2", marks=pytest.mark.slow)]
)
def test_sums_by_language_are_those_of_its_tokens(mesh_shape):
    arrays, values = data(), weights()
    generator = np.random.default_rng(5)
    languages = generator.integers(-1, 3, [B, L]).astype(np.int32)
    languages[languages == 1] = 2  # the second has no token
    moe = tiny_moe(router=NO_NOISE, group_size=L, evaluation_factor=0.5, minimum=1)
    got = run(
        build_layer(moe),
        arrays | {"language": languages},
        values,
        program=layout_program(mesh_shape, "batch:batch" if mesh_shape else ""),
    ).outputs
    mask = arrays["mask"].astype(bool)
    x = arrays["x"].astype(np.float64)
    routing = oracle.route(x, values["router"], mask, 1)
    expected = {
        "expert_counts": np.eye(E)[routing.expert],
        "dropped": (mask & ~routing.kept).astype(float),
        "entropy": oracle.token_entropy(routing),
        "log_z_square": np.square(routing.log_z),
    }
    for name, per_token in expected.items():
        sums = [per_token[mask & (languages == code)].sum(0) for code in range(3)]
        np.testing.assert_allclose(
            got[f"language {name}"], sums, rtol=1e-5, atol=1e-5, err_msg=name
        )
    assert got["language expert_counts"].sum() < mask.sum()  # tokens of no language
    assert got["language dropped"].sum() > 0


def test_one_expert_is_the_dense_network():
    arrays = data(padding=False)
    moe = tiny_moe(num_experts=1, evaluation_factor=1.0)
    values = weights(num_experts=1)
    sparse = run(build_layer(moe), arrays, values).outputs
    dense = run(
        lambda context, features: {
            "y": FeedForward(F)(context, imported(context, features)[0])
        },
        arrays,
        {name: values[f"experts/{name}"][0] for name in ("wi", "wo")},
    ).outputs
    np.testing.assert_allclose(sparse["y"], dense["y"], rtol=1e-6, atol=1e-6)
    assert abs(sparse["balance_loss"] - 0.01 * B * L) < 1e-6
    assert np.all(sparse["dropped_counts"] == 0.0)
    assert abs(sparse["entropy"]) < 1e-6


def test_balance_loss_is_alpha_when_uniform_and_alpha_times_experts_at_collapse():
    arrays = {
        "x": np.tile(np.eye(E, M, dtype=np.float32)[None], [B, L // E, 1]),
        "mask": np.ones([B, L], np.float32),
    }
    values, run_layer = weights(), runner(build_layer(tiny_moe()), arrays)
    for scale, logits, expected in (
        (1e-4, np.eye(M, E), 1.0),  # first choices evenly spread, p nearly uniform
        (50.0, np.eye(M, E), 1.0),  # p one-hot, evenly spread
        (50.0, np.eye(1, E).repeat(M, 0), float(E)),  # all to expert 0
    ):
        values["router"] = scale * logits
        got = run_layer(arrays, values)
        mean = got["balance_loss"] / got["tokens"]
        np.testing.assert_allclose(mean, 0.01 * expected, rtol=1e-4)


@pytest.mark.slow
def test_padding_changes_nothing():
    """What is in the padding, and how much of it there is, has no effect."""
    arrays = data(seed=3)
    moe = tiny_moe(router=NO_NOISE, evaluation_factor=4.0)
    build = build_layer(moe, gradients=True)
    run_layer = runner(build, arrays)
    base = run_layer(arrays, weights())
    mask = arrays["mask"][..., None]
    garbage = arrays | {"x": np.where(mask > 0, arrays["x"], 1e3).astype(np.float32)}
    longer = {
        "x": np.pad(garbage["x"], [(0, 4), (0, 3), (0, 0)], constant_values=7.0),
        "mask": np.pad(arrays["mask"], [(0, 4), (0, 3)]),
    }
    for run_changed, changed in (
        (run_layer, garbage),
        (runner(build, longer), longer),
    ):
        got = run_changed(changed, weights())
        for name, value in base.items():
            other = got[name][tuple(slice(n) for n in value.shape)]
            if name == "gradient x":
                other, value = other * mask, value * mask
            np.testing.assert_allclose(other, value, rtol=2e-5, atol=1e-6, err_msg=name)


def test_padding_takes_no_slot():
    arrays = data()
    arrays["mask"][:, : L // 2] = 0.0  # padding first: it would fill the slots
    arrays["mask"][:, L // 2 :] = 1.0
    moe = tiny_moe(num_experts=1, evaluation_factor=0.5)
    got = run(build_layer(moe), arrays, weights(num_experts=1)).outputs
    assert np.all(got["dropped_counts"] == 0.0)
    assert np.all(got["y"][:, : L // 2] == 0.0)
    assert np.all(np.any(got["y"][:, L // 2 :] != 0.0, axis=-1))


def test_batch_of_padding_alone_is_finite():
    arrays = data() | {"mask": np.zeros([B, L], np.float32)}
    got = run(build_layer(tiny_moe(), gradients=True), arrays, weights()).outputs
    for name, value in got.items():
        assert np.all(value == 0.0), name


def test_jitter_reaches_the_router_only_and_only_in_training():
    arrays, values = data(padding=False), weights(num_experts=1)
    moe = tiny_moe(num_experts=1, router=SwitchRouter(jitter_epsilon=0.3))
    quiet = run(build_layer(moe), arrays, values).outputs
    noisy = run(build_layer(moe), arrays, values, training=True).outputs
    assert noisy["z_loss"] != quiet["z_loss"]
    np.testing.assert_array_equal(noisy["y"], quiet["y"])  # gate is 1 with one expert
    still = run(
        build_layer(tiny_moe(num_experts=1, router=NO_NOISE)),
        arrays,
        values,
        training=True,
    ).outputs
    assert still["z_loss"] == quiet["z_loss"]


def test_expert_dropout_touches_the_hidden_activation_only():
    arrays, values = data(padding=False), weights(num_experts=1)
    values["experts/wi"] = np.ones([1, M, F])
    values["experts/wo"] = np.ones([1, F, M])
    arrays["x"] = np.abs(arrays["x"])
    plain = run(build_layer(tiny_moe(1, router=NO_NOISE)), arrays, values).outputs["y"]
    dropped = run(
        build_layer(tiny_moe(1, router=NO_NOISE, dropout_rate=0.5)),
        arrays,
        values,
        training=True,
    ).outputs["y"]
    # Each output is the mean of F equal hidden units, each dropped or doubled.
    units = dropped / plain * F / 2
    np.testing.assert_allclose(units, np.round(units), atol=1e-4)
    assert np.round(units).min() >= 0 and np.round(units).max() <= F
    assert len(np.unique(np.round(units))) > 2
    np.testing.assert_allclose(units, units[..., :1] * np.ones(M), rtol=1e-5)


def test_gated_experts_have_two_input_projections():
    run_ = run(build_layer(tiny_moe(), activation="geglu"), data())
    shapes = {name: value.shape for name, value in run_.variables.items()}
    assert shapes["experts/wi"] == shapes["experts/wi_gate"] == (E, M, F)
    with pytest.raises(UnknownNameError, match="geglu"):
        FeedForward(F, "gegllu")


@pytest.mark.parametrize(
    ("mesh_shape", "rules"),
    [
        ("batch:2", "batch:batch;experts:batch"),
        *(
            pytest.param(*layout, marks=pytest.mark.slow)
            for layout in (
                ("batch:2", "batch:batch"),
                ("model:2", "experts:model"),
                ("batch:2;model:2", "batch:batch;experts:batch;d_ff:model"),
                ("batch:2;model:2", "batch:batch;experts:model"),
            )
        ),
    ],
)
def test_layouts_agree(mesh_shape, rules):
    moe = tiny_moe(router=NO_NOISE, group_size=L, evaluation_factor=0.75, minimum=1)
    one = one_device(moe)
    program = layout_program(mesh_shape, rules)
    build = build_layer(moe, gradients=True)
    many = run(build, data(), weights(), program=program).outputs
    for name, value in one.items():
        np.testing.assert_allclose(
            many[name], value, rtol=1e-4, atol=1e-4, err_msg=name
        )


def test_all_to_all_only_where_examples_and_experts_share_a_mesh_axis():
    def collectives(mesh_shape, rules):
        program = layout_program(mesh_shape, rules)
        arrays = data()
        build = build_layer(tiny_moe(group_size=L))
        step = program.function(
            lambda context, features: (
                {"y": build(context, features)["y"]},
                [],
            ),
            {name: tf.TensorSpec(a.shape, a.dtype) for name, a in arrays.items()},
            "test",
        )
        names = [name for name, _ in step.program.signature.counters]
        return sum("alltoall" in n for n in names), sum("allconcat" in n for n in names)

    assert collectives("batch:2", "batch:batch;experts:batch") == (2, 0)
    assert collectives("batch:2", "batch:batch") == (0, 0)
    assert collectives("batch:2;model:2", "batch:batch;experts:model") == (0, 1)


CUTTING_LAYOUTS = [
    ("data:2", "batch:data"),
    ("data:4", "batch:data;experts:data"),
    ("data:2;model:2", "batch:data;experts:model"),
    ("data:2;model:2", "batch:data;experts:data;d_ff:model"),
    ("sequence:2", "length:sequence"),
    ("data:2;sequence:2", "batch:data;length:sequence"),
    ("data:2;sequence:2", "batch:data;length:sequence;experts:sequence"),
]


@pytest.mark.parametrize(
    ("mesh_shape", "rules", "dispatch"),
    [
        *((*layout, "gather") for layout in CUTTING_LAYOUTS),
        # A group is whole where its tokens are dispatched, whatever has cut it.
        *((*CUTTING_LAYOUTS[number], "einsum") for number in (1, 3, 6)),
    ],
)
def test_groups_that_a_layout_cuts_are_routed_whole(mesh_shape, rules, dispatch):
    # One group of the whole batch: its 13 slots an expert do not divide either.
    arrays, values = data(), weights()
    moe = dataclasses.replace(
        tiny_moe(router=NO_NOISE, evaluation_factor=1.5, minimum=13), dispatch=dispatch
    )
    build = build_layer(moe, gradients=True)
    one = one_device(moe)
    many = run(build, arrays, values, program=layout_program(mesh_shape, rules)).outputs
    for name, value in one.items():
        np.testing.assert_allclose(
            many[name], value, rtol=1e-4, atol=1e-4, err_msg=name
        )


@functools.cache
def one_device(moe):
    return run(build_layer(moe, gradients=True), data(), weights()).outputs


def test_bad_fields_are_refused():
    with pytest.raises(ConfigError, match="num_experts"):
        MixtureOfExperts(0)
    with pytest.raises(ConfigError, match="group_size"):
        MixtureOfExperts(2, group_size=0)
    with pytest.raises(ConfigError, match="shared_d_ff"):
        MixtureOfExperts(2, shared_d_ff=-1)
    with pytest.raises(UnknownNameError, match="confidence"):
        MixtureOfExperts(2, priority="confidense")
    with pytest.raises(UnknownNameError, match="einsum"):
        MixtureOfExperts(2, dispatch="einsun")


def test_every_token_sees_the_shared_expert():
    arrays = data()
    moe = tiny_moe(router=NO_NOISE, evaluation_factor=0.5, minimum=1)
    values = weights()
    generator = np.random.default_rng(9)
    shared = {
        "shared_expert/wi": generator.standard_normal([M, 3]),
        "shared_expert/wo": generator.standard_normal([3, M]),
    }
    alone = run(build_layer(moe), arrays, values).outputs["y"]
    with_shared = run(
        build_layer(dataclasses.replace(moe, shared_d_ff=3)), arrays, values | shared
    ).outputs["y"]
    hidden = np.maximum(arrays["x"] @ shared["shared_expert/wi"], 0.0)
    expected = alone + hidden @ shared["shared_expert/wo"]
    np.testing.assert_allclose(with_shared, expected, rtol=1e-5, atol=1e-5)
    assert np.any(np.all(alone == 0, axis=-1) & (arrays["mask"] > 0))  # dropped


def test_packed_rows_are_filled_by_confidence_and_others_by_position():
    arrays, values = data(padding=False), weights()
    limited = {"router": NO_NOISE, "evaluation_factor": 0.5, "minimum": 1}
    outputs = {}
    for packed, default in ((False, "position"), (True, "confidence")):
        segments = {"segments": np.ones([B, L], np.int32)} if packed else {}
        for priority in (None, default):
            moe = dataclasses.replace(tiny_moe(**limited), priority=priority)
            got = run(build_layer(moe), arrays | segments, values).outputs
            outputs[priority, packed] = got["y"]
        np.testing.assert_array_equal(outputs[None, packed], outputs[default, packed])
    assert np.any(outputs["position", False] != outputs["confidence", True])


def test_by_position_the_last_language_of_a_packed_group_is_dropped():
    """By confidence all languages lose tokens alike."""
    length, languages = 96, 4
    generator = np.random.default_rng(2)
    arrays = {
        "x": generator.standard_normal([1, length, M]).astype(np.float32),
        "mask": np.ones([1, length], np.float32),
        "segments": (1 + np.arange(length) * languages // length)[None].astype(
            np.int32
        ),
    }
    lost = {}
    for priority in ("position", "confidence"):
        moe = tiny_moe(router=NO_NOISE, evaluation_factor=0.75, minimum=1)
        got = run(
            build_layer(dataclasses.replace(moe, priority=priority)), arrays, weights()
        ).outputs
        dropped = np.all(got["y"][0] == 0, axis=-1)
        lost[priority] = dropped.reshape([languages, -1]).mean(1)
    assert lost["position"][0] == 0 and lost["position"][-1] > 0.5
    assert lost["confidence"].max() < 0.5 and lost["confidence"].min() > 0.1
