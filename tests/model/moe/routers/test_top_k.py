"""Top-k and GShard's top-2 routing against numpy and Mesh TensorFlow.

Shape suffixes: G groups, K choices, S tokens of a group, M d_model, E experts.
"""

import numpy as np
import pytest
from oracles import routing_numpy as oracle
from oracles.moe_layer import run_mesh_tensorflow
from oracles.router_runner import RouterProgram, random_tokens

from mtmoe.errors import ConfigError, UnknownNameError
from mtmoe.model.moe.capacity import Capacity
from mtmoe.model.moe.mixture import MixtureOfExperts
from mtmoe.model.moe.routers.switch import SwitchRouter
from mtmoe.model.moe.routers.top_2 import Top2Router
from mtmoe.model.moe.routers.top_k import TopKRouter

B, L, M, F, E = 4, 8, 6, 10, 4
SLOTS = 8  # of 32 tokens: a factor of 1
ROUTERS = {
    "top_2": TopKRouter(2),
    "top_3": TopKRouter(3, normalize_weights=False, z_loss_weight=0.1),
    "all": Top2Router(),
    "none": Top2Router(second_policy_evaluation="none"),
    "threshold": Top2Router(
        second_policy_evaluation="threshold", second_threshold=0.25
    ),
}
FIELDS = {
    "num_experts": E,
    "capacity": Capacity(1.0, 1.0, minimum=1),
    "group_size": B * L,
}


@pytest.fixture(scope="module")
def arrays():
    return random_tokens(B, L, M)


@pytest.fixture(scope="module")
def evaluated(arrays):
    program = RouterProgram(ROUTERS, arrays, d_ff=F, gradients=False, **FIELDS)
    return program, program(arrays)


def expected(name, arrays, values, by_confidence=False):
    router = ROUTERS[name]
    x = arrays["x"].reshape([1, B * L, M]).astype(np.float64)
    mask = arrays["mask"].reshape([1, B * L]).astype(bool)
    wanted = np.repeat(mask[:, None], router.num_choices, axis=1)
    normalize = getattr(router, "normalize_weights", True)
    if name in ("none", "threshold"):
        free = oracle.choose(x, values["router"], wanted, B * L, normalize)
        second = free.weights[:, 1] > (1.0 if name == "none" else 0.25)
        wanted[:, 1] &= second
    choices = oracle.choose(
        x, values["router"], wanted, SLOTS, normalize, by_confidence
    )
    y = oracle.experts_layer(x, choices, values["experts/wi"], values["experts/wo"])
    return choices, wanted, y.reshape([B, L, M]), mask


def check(name, arrays, values, said, by_confidence=False):
    choices, wanted, y, mask = expected(name, arrays, values, by_confidence)
    np.testing.assert_allclose(said["y"], y, rtol=1e-5, atol=5e-5)
    np.testing.assert_array_equal(said["slot_of_token"] < E * SLOTS, choices.kept)
    seated = choices.kept
    np.testing.assert_allclose(
        said["weights"][seated], choices.weights[seated], rtol=1e-5
    )
    np.testing.assert_array_equal(
        said["slot_of_token"][seated] // SLOTS, choices.expert[seated]
    )
    router = ROUTERS[name]
    balance = oracle.balance_loss(choices.routing, mask)
    z = oracle.z_loss(choices.routing, mask)
    np.testing.assert_allclose(
        said["balance_loss"], router.balance_loss_weight * balance, rtol=1e-5
    )
    np.testing.assert_allclose(said["z_loss"], router.z_loss_weight * z, rtol=1e-5)
    lost = (wanted & ~seated).sum(1) / np.maximum(wanted.sum(1), 1)
    np.testing.assert_allclose(
        said["dropped_counts"], lost.reshape([B, L]).sum(1), rtol=1e-5
    )
    return lost.sum()


@pytest.mark.parametrize("name", ROUTERS)
def test_agrees_with_the_oracle(name, evaluated, arrays):
    program, said = evaluated
    lost = check(name, arrays, program.variables(name), said[name])
    assert lost > 0


def test_by_confidence_agrees_with_the_oracle(arrays):
    routers = {name: ROUTERS[name] for name in ("top_2", "top_3")}
    program = RouterProgram(
        routers, arrays, d_ff=F, gradients=False, priority="confidence", **FIELDS
    )
    said = program(arrays)
    for name in routers:
        check(name, arrays, program.variables(name), said[name], by_confidence=True)


def test_second_experts_by_chance(arrays):
    """Asked for with probability min(1, g_2 / threshold), anew at every step."""
    router = {"random": Top2Router("random", second_threshold=0.4)}
    fields = FIELDS | {"capacity": Capacity(4.0, 4.0)}
    program = RouterProgram(
        router, arrays, training=True, d_ff=F, gradients=False, **fields
    )
    asked, trials = np.zeros([B * L]), 200
    for step in range(trials):
        said = program(arrays, step=step)["random"]
        wanted = said["wanted"][0]
        mask = arrays["mask"].reshape([-1])
        np.testing.assert_array_equal(wanted[0], mask)
        assert np.all(wanted[1] <= mask)
        asked += wanted[1]
    chance = np.minimum(1.0, said["weights"][0, 1] / 0.4) * mask
    error = np.sqrt(np.maximum(chance * (1 - chance), 1e-9) / trials)
    assert np.all(np.abs(asked / trials - chance) < 5 * error + 1e-9)
    assert 0.1 < (asked / trials)[mask > 0].std()


def test_learned_noise_is_normal_with_a_learned_scale(arrays):
    router = {"noisy": TopKRouter(2, learned_noise=True, jitter_epsilon=0.0)}
    quiet = RouterProgram(router, arrays, d_ff=F, gradients=False, **FIELDS)
    noisy = RouterProgram(router, arrays, training=True, d_ff=F, **FIELDS)
    values = noisy.variables("noisy")
    # One token everywhere: the places draw independent noise on the same logits.
    arrays = arrays | {
        "x": np.broadcast_to(arrays["x"][:1, :1], [B, L, M]).copy(),
        "mask": np.ones([B, L], np.float32),
    }
    x_M = arrays["x"][0, 0].astype(np.float64)
    scale_E = np.log1p(np.exp(x_M @ values["router_noise"]))
    logits_E = x_M @ values["router"]
    draws = []
    for step in range(60):
        said = noisy(arrays, step=step)["noisy"]
        draws.append(said["first_choice"].reshape([-1, E]).mean(0))
    generator = np.random.default_rng(0)
    sampled = logits_E + scale_E * generator.standard_normal([200_000, E])
    likely_E = np.bincount(sampled.argmax(-1), minlength=E) / len(sampled)
    error = np.sqrt(likely_E * (1 - likely_E) / (60 * B * L))
    assert np.all(np.abs(np.mean(draws, 0) - likely_E) < 5 * error + 1e-3)
    assert np.any(said["gradient router_noise"] != 0)
    still = quiet(arrays)["noisy"]["first_choice"]
    assert np.all(still.reshape([-1, E])[:, logits_E.argmax()] == 1)


def test_top_1_is_switch_routing(arrays):
    routers = {
        "switch": SwitchRouter(),
        "top_1": TopKRouter(1, normalize_weights=False),
    }
    program = RouterProgram(routers, arrays, d_ff=F, **FIELDS)
    switch = program.variables("switch")
    values = {f"{name}/{key}": switch[key] for name in routers for key in switch}
    program.program.assign(values)
    said = program(arrays)
    for key, value in said["switch"].items():
        other = said["top_1"][key].reshape(value.shape)
        np.testing.assert_allclose(other, value, rtol=1e-5, atol=1e-6, err_msg=key)


def test_bad_fields_are_refused():
    with pytest.raises(ConfigError, match=r"TopKRouter\.k"):
        TopKRouter(0)
    with pytest.raises(UnknownNameError, match=r"second_policy_train"):
        Top2Router("alll")
    with pytest.raises(ConfigError, match="second_threshold"):
        Top2Router(second_threshold=0.0)
    with pytest.raises(ConfigError, match="5 different experts"):
        MixtureOfExperts(4, router=TopKRouter(5))


@pytest.mark.parametrize(
    ("name", "gating", "hparams"),
    [
        ("all", "top_2", {"second_policy_eval": "all"}),
        ("none", "top_2", {"second_policy_eval": "none"}),
        (
            "threshold",
            "top_2",
            {"second_policy_eval": "threshold", "second_threshold_eval": 0.25},
        ),
        ("top_2", "top_n", {"second_policy_eval": "all"}),
    ],
)
def test_mesh_tensorflow_agrees(name, gating, hparams, evaluated, arrays):
    """Where its capacity is not rounded; it masks padding in these gatings.

    Its balance loss is a mean over all positions of a group: E^2 mean_i(f_i P_i) with
    both over padding too.
    """
    program, said = evaluated
    theirs = run_mesh_tensorflow(
        {"x": arrays["x"], "mask": arrays["mask"]},
        program.variables(name),
        gating,
        capacity_factor_eval=1.0,
        top_n_num_experts_per_token=2,
        **hparams,
    )
    np.testing.assert_allclose(said[name]["y"], theirs["y"], rtol=1e-4, atol=5e-5)
    tokens = float(arrays["mask"].sum())
    ours = said[name]["balance_loss"] / tokens * (tokens / (B * L)) ** 2
    np.testing.assert_allclose(ours, theirs["loss"], rtol=1e-4)
